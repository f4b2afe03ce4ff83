"""What a worker may take and do, said by itself before it sees a file."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from laps_server.video.sandbox.seccomp import install_filter

NICENESS: Final = 10
_PR_SET_PDEATHSIG: Final = 1
_MIB: Final = 1024 * 1024
_OPEN_FILES: Final = 32  # three of its own, the upload, and a Part; the rest is for libraries


def confine(*, parent: int, memory_mib: int, keep: Sequence[int], filtered: bool) -> None:
    """Give up everything but ``keep`` and standard error, for good.

    Args:
        parent: the process to end with.
        memory_mib: address space that may be taken beyond what is taken now.
        keep: descriptors that stay open.
        filtered: whether system calls are filtered.

    Raises:
        FilterMissing: they cannot be.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before this was asked for
        signal.raise_signal(signal.SIGKILL)
    _close_all_but({*keep, 0, 1, 2})
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    for what, most in (
        (resource.RLIMIT_AS, taken + memory_mib * _MIB),
        (resource.RLIMIT_FSIZE, memory_mib * _MIB),  # memory of a descriptor is no address space until it is mapped
        (resource.RLIMIT_NOFILE, _OPEN_FILES + max(keep)),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))
    os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, 0) + NICENESS)
    with suppress(OSError):  # the first to go where a machine or a container has no memory left, before the server
        Path("/proc/self/oom_score_adj").write_text("1000")
    if filtered:
        install_filter()


def _close_all_but(kept: set[int]) -> None:
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - nothing is wanted of the folder but names
        if int(name) not in kept:
            with suppress(OSError):  # the one that the folder was listed by
                os.close(int(name))
