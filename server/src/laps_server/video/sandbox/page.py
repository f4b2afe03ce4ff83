"""A page of memory that a worker and the gateway share: how far the worker is, and whether it should stop.

A message would cost a system call at every packet, and a decoder that is stuck inside one could not read it.
"""

from __future__ import annotations

import mmap
import os
import struct
from typing import Final

_SIZE: Final = mmap.PAGESIZE
_COUNT: Final = struct.Struct("<Q")
_STOP: Final = _COUNT.size


class ProgressPage:
    """Steps that the worker has taken, which it alone writes, and a mark to stop, which the gateway alone writes."""

    def __init__(self, descriptor: int) -> None:
        """Map it; the descriptor stays the caller's and may be closed then."""
        self._memory = mmap.mmap(descriptor, _SIZE)
        self._taken = 0  # by this process

    @staticmethod
    def make() -> int:
        """A descriptor of a new one."""
        descriptor = os.memfd_create("progress", os.MFD_CLOEXEC)
        os.ftruncate(descriptor, _SIZE)
        return descriptor

    @property
    def steps(self) -> int:
        """Steps taken so far, of all videos."""
        steps: int = _COUNT.unpack_from(self._memory)[0]
        return steps

    def step(self) -> bool:
        """Count one more step; whether to stop."""
        self._taken += 1
        _COUNT.pack_into(self._memory, 0, self._taken)
        return self._memory[_STOP] != 0

    def ask_to_stop(self, *, stop: bool = True) -> None:
        """Set the mark, or take it away before the next video."""
        self._memory[_STOP] = stop

    def close(self) -> None:
        """Give the mapping back."""
        self._memory.close()
