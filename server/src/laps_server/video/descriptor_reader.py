"""The bytes of an upload: a file over a descriptor."""

from __future__ import annotations

import os


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
