"""Which instruction set multiplies int8 on this machine: what a parity record holds for, and for no other.

``laps_server.engines.machine`` asks the same of the machine that serves; the names are Linux's.
"""

from __future__ import annotations

from pathlib import Path

from laps_export.errors import ConfigError

INT8_INSTRUCTION_SETS = ("amx_int8", "avx512_vnni", "avx_vnni")
"""Best first."""

_CPUINFO = Path("/proc/cpuinfo")


def int8_instruction_set(cpuinfo: Path = _CPUINFO) -> str:
    """The best that every processor has.

    Raises:
        ConfigError: `no_int8`.
    """
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    lines = (line.partition(":") for line in text.splitlines())
    known = [set(value.split()) for key, _, value in lines if key.strip() == "flags"]
    for name in INT8_INSTRUCTION_SETS:
        if known and all(name in flags for flags in known):
            return name
    raise ConfigError(
        "this processor has no instructions for int8",
        code="no_int8",
        hint=f"run it where the model is served, on a processor with one of {', '.join(INT8_INSTRUCTION_SETS)}",
    )
