"""The machine that a run was made on, and what else kept it busy: no figure means much without them."""

from __future__ import annotations

import os
import platform
import re
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from laps_server.engines.machine import parse_cpuinfo

# What decides how fast the engines multiply.
INSTRUCTION_SETS = (
    "avx2",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "amx_bf16",
    "amx_int8",
    "amx_fp16",
    "avx_vnni",
)
PACKAGES = ("onnxruntime", "openvino", "torch", "av", "numpy")
BUSY_AFTER_S = 1.0


@dataclass(frozen=True)
class Machine:
    """``clock_mhz`` as the kernel tells it; ``busy`` is the share of all cores that others had before the run."""

    cpu: str
    cores: int
    clock_mhz: float
    memory_gib: float
    instruction_sets: tuple[str, ...]
    load: float
    busy: float
    system: str
    packages: dict[str, str]

    @property
    def has_bf16_without_amx(self) -> bool:
        """What the floors of the issue are meant for."""
        return "avx512_bf16" in self.instruction_sets and "amx_bf16" not in self.instruction_sets

    @property
    def line(self) -> str:
        """All of it in one line."""
        sets = " ".join(self.instruction_sets) or "none of note"
        return (
            f"{self.cpu}, {self.cores} cores at {self.clock_mhz:.0f} MHz, {self.memory_gib:.0f} GiB; {sets}; "
            f"others had {self.busy:.0%} of the cores before the run, load {self.load:.1f}"
        )


def describe(proc: Path = Path("/proc")) -> Machine:
    """This machine now; takes a second."""
    cpuinfo = (proc / "cpuinfo").read_text()
    known = parse_cpuinfo(cpuinfo)
    clock = re.search(r"^cpu MHz\s*: ([0-9.]+)$", cpuinfo, re.MULTILINE)
    memory = re.search(r"^MemTotal:\s+(\d+) kB", (proc / "meminfo").read_text(), re.MULTILINE)
    return Machine(
        cpu=known.processor or platform.machine(),
        cores=len(os.sched_getaffinity(0)),
        clock_mhz=float(clock[1]) if clock else 0.0,
        memory_gib=int(memory[1]) / 2**20 if memory else 0.0,
        instruction_sets=tuple(name for name in INSTRUCTION_SETS if name in known.instruction_sets),
        load=float((proc / "loadavg").read_text().split()[0]),
        busy=_busy(proc / "stat"),
        system=f"{platform.system()}, Python {platform.python_version()}",
        packages=_versions(),
    )


def _busy(stat: Path) -> float:
    """The share of processor time that was not idle within a moment in which this process sleeps."""
    before = _jiffies(stat)
    time.sleep(BUSY_AFTER_S)
    total, idle = (after - earlier for after, earlier in zip(_jiffies(stat), before, strict=True))
    return max(0.0, 1 - idle / total) if total else 0.0


def _jiffies(stat: Path) -> tuple[int, int]:
    values = [int(value) for value in stat.read_text().splitlines()[0].split()[1:9]]
    return sum(values), values[3] + values[4]  # idle and waiting for a disk


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
