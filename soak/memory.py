"""How much memory the server's processes hold together, and how fast that grows."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from support.server_traces import children_of

_MINUTE_S = 60.0
_OWN = ("Pss_Anon:", "Pss_Shmem:")


@dataclass(frozen=True, slots=True)
class Sample:
    """At one moment, in MiB of memory that is no file's, each page that processes share counted once.

    Pages of files, which are programs here, are left out: how many processes of the machine share them is chance.

    Attributes:
        at_s: since the beginning.
        gateway_mib: of the server's own process.
        zygote_mib: of the one that decoders are forked from.
        decoders_mib: of all of them.
        decoders: how many there are.
    """

    at_s: float
    gateway_mib: float
    zygote_mib: float
    decoders_mib: float
    decoders: int

    @property
    def total_mib(self) -> float:
        """Of all."""
        return self.gateway_mib + self.zygote_mib + self.decoders_mib


def sample(process: int, at_s: float) -> Sample:
    """Look at a server's processes."""
    zygotes, decoders = [], []
    with suppress(OSError):
        for task in Path(f"/proc/{process}/task").iterdir():
            zygotes += [int(word) for word in (task / "children").read_text().split()]
    for zygote in zygotes:
        decoders += children_of(zygote)
    return Sample(at_s, _own(process), sum(map(_own, zygotes)), sum(map(_own, decoders)), len(decoders))


def growth_mib_a_minute(at_s: Sequence[float], mib: Sequence[float]) -> float:
    """Over the last half: how much more the median of its second half is than that of its first.

    Medians, since a video in a decoder at the moment of a look is not growth.
    """
    half = at_s[-1] / 2
    last = [(at, value) for at, value in zip(at_s, mib, strict=True) if at >= half]
    middle = len(last) // 2
    before, after = last[:middle], last[middle:]
    minutes = (statistics.mean(at for at, _ in after) - statistics.mean(at for at, _ in before)) / _MINUTE_S
    more = statistics.median(value for _, value in after) - statistics.median(value for _, value in before)
    return more / minutes


def _own(process: int) -> float:
    kib = 0
    with suppress(OSError):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith(_OWN):
                kib += int(line.split()[1])
    return kib / 1024
