"""Objects of a Windows Media file's header, written by hand."""

from __future__ import annotations

import struct
from pathlib import Path
from uuid import UUID

ASF_HEADER = UUID("75b22630-668e-11cf-a6d9-00aa0062ce6c")
CONTENT_ENCRYPTION = UUID("2211b3fb-bd23-11d2-b4b7-00a0c955fc6e")
ADVANCED_CONTENT_ENCRYPTION = UUID("43058533-6981-49e6-9b74-ad12cb86d58c")
HEADER_EXTENSION = UUID("5fbf03b5-a92e-11cf-8ee3-00c00c205365")
SCRIPT_COMMAND = UUID("1efb1a30-0b62-11d0-a39b-00a0c90348f6")


def asf_object(name: UUID, content: bytes) -> bytes:
    return name.bytes_le + struct.pack("<Q", 24 + len(content)) + content


def add_to_asf_header(path: Path, addition: bytes) -> None:
    """Put an object in front of the others in an ASF file's header."""
    data = path.read_bytes()
    length, count = struct.unpack_from("<QI", data, 16)
    path.write_bytes(
        data[:16] + struct.pack("<QI", length + len(addition), count + 1) + data[28:30] + addition + data[30:]
    )
