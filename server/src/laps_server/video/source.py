"""The bytes of an upload: a file over a descriptor, and what its first bytes say it is."""

from __future__ import annotations

import os

# How files of our containers begin, to tell a damaged video from something else: (offset, bytes).
_SIGNATURES = (
    *((4, atom) for atom in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"moof", b"styp")),
    (0, b"\x1a\x45\xdf\xa3"),
    (8, b"AVI "),
    (0, b"FLV\x01"),
    (0, b"OggS"),
    (0, b"GIF87a"),
    (0, b"GIF89a"),
    (0, b"\x00\x00\x01\xba"),
)
_TS_PACKET_BYTES = 188


class DescriptorReader:
    """A seekable binary file over a descriptor with a position of its own; the descriptor stays the caller's.

    It has no ``name``: FFmpeg would use one to guess the format.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._position = 0
        self.size = os.fstat(descriptor).st_size

    def read(self, size: int = -1) -> bytes:
        """Up to ``size`` bytes from the position, empty at the end."""
        data = self.read_at(self._position, self.size - self._position if size < 0 else size)
        self._position += len(data)
        return data

    def read_at(self, offset: int, size: int) -> bytes:
        """Up to ``size`` bytes from ``offset``, wherever the position is."""
        return os.pread(self._descriptor, max(size, 0), offset)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move the position; returns it."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        """The position in bytes."""
        return self._position

    def seekable(self) -> bool:
        """Always: uploads are files on disk."""
        return True


def begins_like_a_video(reader: DescriptorReader) -> bool:
    """Whether the file begins as one of our containers does: a damaged video rather than something else."""
    head = reader.read_at(0, 2 * _TS_PACKET_BYTES + 1)
    if any(head[offset : offset + len(magic)] == magic for offset, magic in _SIGNATURES):
        return True
    return len(head) > 2 * _TS_PACKET_BYTES and all(byte == 0x47 for byte in head[::_TS_PACKET_BYTES])
