"""What the header of a Windows Media file says and FFmpeg keeps to itself: how long the file is, and that it is locked.

An ASF file begins with a header object that holds others, each a GUID, a length of 64 bits, and its content::

    | GUID | length | number, 2 bytes || GUID | length | content || GUID | length | content | ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from uuid import UUID

Read = Callable[[int, int], bytes]  # (offset, size) -> bytes

_OBJECT_BYTES = 24
_HEADER_BYTES = 30
_MAX_OBJECTS = 1024  # real headers hold a dozen
# Holds objects in turn, behind this many bytes.
_EXTENSION = UUID("5fbf03b5-a92e-11cf-8ee3-00c00c205365")
_EXTENSION_BYTES = 46
_FILE_PROPERTIES = UUID("8cabdca1-a947-11cf-8ee4-00c00c205365")
_FILE_SIZE_OFFSET = 40
_FLAGS_OFFSET = 88
_BROADCAST_FLAG = 1
_ENCRYPTION = frozenset(
    {
        UUID("2211b3fb-bd23-11d2-b4b7-00a0c955fc6e"),  # content encryption
        UUID("298ae614-2622-4c17-b935-dae07ee9289c"),  # extended content encryption
        UUID("43058533-6981-49e6-9b74-ad12cb86d58c"),  # advanced content encryption
    }
)


def is_protected(read: Read) -> bool:
    """Whether the header says how the file is encrypted: FFmpeg only logs it, and decodes the packets to noise."""
    return any(name in _ENCRYPTION for name, _ in _objects(read))


def declared_size(read: Read) -> int | None:
    """The size that the file is said to have; None where nothing is said, as in recordings of a broadcast."""
    for name, position in _objects(read):
        if name == _FILE_PROPERTIES:
            flags = int.from_bytes(read(position + _FLAGS_OFFSET, 4), "little")
            size = int.from_bytes(read(position + _FILE_SIZE_OFFSET, 8), "little")
            return None if flags & _BROADCAST_FLAG else size
    return None


def _objects(read: Read) -> Iterator[tuple[UUID, int]]:
    """Each object of the header with the offset at which it begins, up to damage."""
    end = int.from_bytes(read(16, 8), "little")
    position = _HEADER_BYTES
    for _ in range(_MAX_OBJECTS):
        head = read(position, _OBJECT_BYTES)
        length = int.from_bytes(head[16:], "little")
        if len(head) < _OBJECT_BYTES or length < _OBJECT_BYTES or position + length > end:
            return
        name = UUID(bytes_le=head[:16])
        yield name, position
        position += _EXTENSION_BYTES if name == _EXTENSION else length
