"""How much memory this process takes, and how much it may: in a container that is less than the machine has."""

from __future__ import annotations

import os
from pathlib import Path

_ROOT = Path("/")
_SHARE = 0.9  # of the limit: requests in flight take some too
_RESIDENT = 1  # second field of statm, in pages


def used_bytes() -> int:
    """Resident now."""
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[_RESIDENT]) * os.sysconf("SC_PAGE_SIZE")


def allowed_bytes(root: Path = _ROOT) -> int:
    """Nine tenths of the smallest limit: of the machine, and of each control group that this process is in.

    Args:
        root: where proc and sys are mounted.
    """
    total = (root / "proc/meminfo").read_text().split()[1]
    limits = [int(total) * 1024, *_group_limits(root)]
    return int(min(limits) * _SHARE)


def _group_limits(root: Path) -> list[int]:
    limits = []
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            mounted, name = root / "sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            mounted, name = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        # A group is bound by those around it. In a container its own is mounted at the top, whatever its path says.
        parts = Path(path).parts[1:]
        for depth in range(len(parts) + 1):
            texts = _lines(mounted.joinpath(*parts[:depth], name))
            limits += [int(text) for text in texts if text.isdigit()]  # else it says max
    return limits


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
