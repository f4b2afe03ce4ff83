"""Move a built folder to where others look: one writer at a time, and never a moment in which anything is lost.

A replaced folder is exchanged with the new one by a single system call where kernel and filesystem have it.
Elsewhere it takes two renames; the old folder waits between them outside of everything that is cleaned up, so
that even a process killed there leaves it on disk, under the name of `aside`.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from laps_export.repository.entry import RepositoryEntry

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_NO_LOCKS = {errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
"""Answers of a filesystem that cannot lock a folder, as some network filesystems."""


@contextlib.contextmanager
def staging(repository: Path) -> Iterator[Path]:
    """A folder beside the repository, on its filesystem, that is gone afterwards, however that comes."""
    beside = repository.parent
    while not beside.exists():
        beside = beside.parent
    stage = Path(tempfile.mkdtemp(prefix=f".{repository.name}-building-", dir=beside))
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def publish(built: RepositoryEntry, entry: RepositoryEntry, version: int, *, check: Callable[[], object]) -> bool:
    """Rename the built entry to where it belongs, or only its version where the entry is there already.

    Args:
        built: in a folder of `staging`.
        entry: where it belongs; its repository exists.
        version: the one that was built.
        check: raises where the version may not be written; asked under the lock, since others write too.

    Returns:
        Whether the entry was there already: what it has beside its versions, as its config.pbtxt, then stays.
    """
    with locked(entry.repository):
        check()
        if not entry.path.exists():
            built.path.rename(entry.path)
            return False
        new, target = built.version_path(version), entry.version_path(version)
        if target.exists():
            stage = built.repository
            replace_folder(new, target, aside=stage.with_name(f"{stage.name}-replaced"))
        else:
            new.rename(target)
        return True


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Wait until no other exporter is publishing below `folder`, and keep them out.

    The folder itself is locked, so there is no lock file to leave behind; the kernel frees the lock of a
    process that dies. A filesystem without locks is used without.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as exc:
            if exc.errno not in _NO_LOCKS:
                raise
        yield
    finally:
        os.close(descriptor)


def replace_folder(new: Path, target: Path, *, aside: Path) -> None:
    """Put `new` where `target` is; however it ends, `target` is the old folder or the new one.

    Args:
        new: gone afterwards, or the old folder: its owner removes it.
        target: a folder that is there.
        aside: a free name on the same filesystem, where nobody cleans up.
    """
    if exchange(new, target):
        return
    try:
        target.rename(aside)
        new.rename(target)
    finally:
        if aside.exists():
            if target.exists():
                shutil.rmtree(aside, ignore_errors=True)
            else:
                aside.rename(target)


def exchange(one: Path, other: Path) -> bool:
    """Swap two folders in one step; False, with nothing done, where the system cannot."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    return bool(renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0)
