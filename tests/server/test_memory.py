"""The memory that a process may take, by files as the kernel writes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from laps_server.memory import allowed_bytes, used_bytes

MIB = 2**20


def machine(root: Path, cgroup: str, limits: dict[str, str]) -> Path:
    files = {"proc/meminfo": "MemTotal:        1024000 kB\nMemFree: 1 kB\n", "proc/self/cgroup": cgroup, **limits}
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("cgroup", "limits", "allowed"),
    [
        pytest.param("0::/\n", {}, 1024000 * 1024, id="no limit"),
        pytest.param("0::/\n", {"sys/fs/cgroup/memory.max": "max\n"}, 1024000 * 1024, id="none said"),
        pytest.param("0::/\n", {"sys/fs/cgroup/memory.max": f"{100 * MIB}\n"}, 100 * MIB, id="in a container"),
        pytest.param(
            "0::/a/b\n",
            {"sys/fs/cgroup/a/memory.max": f"{50 * MIB}\n", "sys/fs/cgroup/a/b/memory.max": f"{70 * MIB}\n"},
            50 * MIB,
            id="of a group around it",
        ),
        pytest.param(
            "5:cpu:/\n4:memory:/a\n0::/\n",
            {"sys/fs/cgroup/memory/a/memory.limit_in_bytes": f"{60 * MIB}\n"},
            60 * MIB,
            id="version 1",
        ),
        pytest.param(
            "4:memory:/docker/0123\n",
            {"sys/fs/cgroup/memory/memory.limit_in_bytes": f"{60 * MIB}\n"},
            60 * MIB,
            id="version 1 in a container",
        ),
    ],
)
def test_the_smallest_limit_holds(tmp_path: Path, cgroup: str, limits: dict[str, str], allowed: int) -> None:
    assert allowed_bytes(machine(tmp_path, cgroup, limits)) == int(allowed * 0.9)


def test_what_is_taken_is_counted() -> None:
    before = used_bytes()
    taken = bytearray(64 * MIB)
    taken[::4096] = b"\1" * len(taken[::4096])
    assert used_bytes() - before > 48 * MIB
    assert used_bytes() < allowed_bytes()
