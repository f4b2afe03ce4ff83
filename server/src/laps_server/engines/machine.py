"""What this machine computes natively: its processor's instruction sets, as Linux names them.

An engine that is told to compute in a type without such instructions obeys, more slowly or in another type than it was
told: so it is asked only for what is here.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from laps_server.engines.choices import Device, Precision

_CPUINFO = Path("/proc/cpuinfo")
_NVIDIA_GPUS = Path("/proc/driver/nvidia/gpus")  # a folder for each, whose file "information" has a line "Model:"
# What multiplies matrices of a type, best first.
_INSTRUCTION_SETS: Mapping[Precision, tuple[str, ...]] = MappingProxyType(
    {
        "bfloat16": ("amx_bf16", "avx512_bf16"),
        "float16": ("amx_fp16", "avx512_fp16"),
        "int8": ("amx_int8", "avx512_vnni", "avx_vnni", "avx2"),
    }
)


@dataclass(frozen=True, slots=True)
class Machine:
    """Where models run: the processor's name, what it knows, the device that the operator chose, and the GPUs' names.

    GPUs are looked for only where one was chosen.
    """

    processor: str
    instruction_sets: frozenset[str]
    device: Device = "cpu"
    gpus: tuple[str, ...] = ()

    def instruction_set(self, precision: Precision) -> str | None:
        """The best one for products of that type; None where there is none, and for float32, which every one has."""
        known = (name for name in _INSTRUCTION_SETS.get(precision, ()) if name in self.instruction_sets)
        return next(known, None)


def this_machine(device: Device) -> Machine:
    """The one that this process runs on; where Linux does not say, one without instruction sets."""
    try:
        text = _CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    return parse_cpuinfo(text, device=device, gpus=() if device == "cpu" else gpu_names(_NVIDIA_GPUS))


def gpu_names(folder: Path) -> tuple[str, ...]:
    """Of the GPUs that NVIDIA's driver has in ``folder``, one word for each; none where there is no such driver."""
    names = []
    for path in sorted(folder.glob("*/information")):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        names += [line.partition(":")[2].strip() for line in lines if line.startswith("Model:")]
    return tuple(names)


def parse_cpuinfo(text: str, *, device: Device = "cpu", gpus: tuple[str, ...] = ()) -> Machine:
    """Read ``/proc/cpuinfo``: what every processor in it knows, and the name of the first.

    On ARM the keys are others (``Features``), and there may be no name.
    """
    name = ""
    known: list[frozenset[str]] = []
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            name = name or value.strip()
        elif key.strip() in {"flags", "Features"}:
            known.append(frozenset(value.split()))
    return Machine(name or platform.machine(), frozenset.intersection(*known) if known else frozenset(), device, gpus)
