"""A block of shared memory that can be found and removed after its owner has died.

A block is a file in /dev/shm. Its owner holds a lock on it for life, and the kernel releases the lock when the process
dies. A process id would mean nothing to another container; a lock works there too. So a block that can be locked has a
dead owner: :func:`abandoned` finds those. The file stays until no process has it open, since others need its name to
close the memory.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import secrets
from pathlib import Path
from typing import Self

import numpy as np

from laps_server.arrays import UInt8Array

FOLDER = Path("/dev/shm")
PREFIX = "laps-clips-"


class SharedBlock:
    """Bytes that another process on this host can open by name, until :meth:`close`."""

    def __init__(self, size_bytes: int) -> None:
        """Create it, locked and with all of its memory reserved.

        Raises:
            OSError: no shared memory here, or not as much.
        """
        self.size_bytes = size_bytes
        while True:
            self.name = f"{PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
            self._path = FOLDER / self.name
            self._descriptor = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
            if _lock(self._descriptor) and os.fstat(self._descriptor).st_nlink:
                break
            os.close(self._descriptor)  # a sweep came between creation and lock
        try:
            # Reserved now: memory that is missing later would be a SIGBUS instead of an error.
            os.posix_fallocate(self._descriptor, 0, size_bytes)
            self._map = mmap.mmap(self._descriptor, size_bytes)
        except OSError:
            self._path.unlink(missing_ok=True)
            os.close(self._descriptor)
            raise

    def write(self, offset: int, data: UInt8Array) -> None:
        """Copy ``data`` to ``offset``."""
        place = np.frombuffer(self._map, np.uint8, count=data.size, offset=offset)
        np.copyto(place, data.reshape(-1))

    def close(self, *, keep_file: bool = False) -> None:
        """Close it. With ``keep_file``, for what another process has open still, the next sweep finds it abandoned."""
        if not keep_file:
            self._path.unlink(missing_ok=True)
        with contextlib.suppress(BufferError):  # a write is under way; the mapping ends with it
            self._map.close()
        os.close(self._descriptor)


class AbandonedBlock:
    """A block whose owner is dead, locked against other sweeps; a context manager."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.name = path.name
        self._path = path
        self._descriptor = descriptor

    def remove(self) -> None:
        """Remove the file: no process has it open any more."""
        self._path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


def abandoned() -> list[AbandonedBlock]:
    """The blocks of dead owners."""
    found = []
    for path in FOLDER.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # another user's, or gone by now
            descriptor = os.open(path, os.O_RDWR)
            if _lock(descriptor):
                found.append(AbandonedBlock(path, descriptor))
            else:
                os.close(descriptor)
    return found


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
