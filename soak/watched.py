"""A server that is watched through a soak: what its clients saw, what it held at rest and holds in the end."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from soak.clients import Kind
from soak.memory import Sample, growth_mib_a_minute, sample
from soak.tally import Tally, counted, unaccounted

from support.live_servers import ServerProcess
from support.server_traces import ServerTraces, children_of, wait_until_at_rest

MAX_GROWTH_MIB = 1.0  # a minute
JUDGED = ("gateway", "all processes")
# Of the looks, one a second. Videos in work make a total differ by 40 MiB from one to the next, and a decoder that is
# kept or not by 10: over less than ten minutes that is more than what grows.
MIN_LOOKS = 500
_AGREE_S = 15.0  # for requests that clients have left
_SCRAPE_S = 60.0  # of a busy machine
_SHM = Path("/dev/shm")


@dataclass
class Watched:
    """One server.

    Attributes:
        name: in the tables.
        server: its process.
        uploads: its folder of uploads.
        temporary: its folder of temporary files.
        kinds: of clients that it has.
        clients: at once.
        tally: what they saw.
        samples: of its memory.
    """

    name: str
    server: ServerProcess
    uploads: Path
    temporary: Path
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    clients: int = 0
    tally: Tally = field(default_factory=Tally)
    samples: list[Sample] = field(default_factory=list)
    _rest: ServerTraces | None = None
    _kept: set[str] = field(default_factory=set)
    _before: Counter[str] = field(default_factory=Counter)

    def begin(self) -> None:
        """What it holds now is what it holds at rest, and what it has counted does not count."""
        self._rest = ServerTraces.of(self.server, self.uploads)
        self._kept = _files_in(self.temporary)
        self._before = self._counted()
        self.tally, self.samples = Tally(), []

    def look(self, at_s: float) -> None:
        """At its memory."""
        self.samples.append(sample(self.server.process.pid, at_s))

    @property
    def courses(self) -> dict[str, list[float]]:
        """Memory in MiB, look after look."""
        return {
            "gateway": [look.gateway_mib for look in self.samples],
            "zygote, one share of what decoders began with": [look.zygote_mib for look in self.samples],
            "all processes": [look.total_mib for look in self.samples],
        }

    def growth_mib_a_minute(self, course: list[float]) -> float:
        """Of one of them, over the last half."""
        return growth_mib_a_minute([look.at_s for look in self.samples], course)

    def judged(self) -> list[str]:
        """What is not as it should be, while the server still runs."""
        found = [*self.tally.surprises, *self._unaccounted()]
        try:
            if self._rest is not None:
                wait_until_at_rest(self.server, self.uploads, self._rest)
        except AssertionError as exc:
            found.append(f"{exc}; descriptors are {_descriptors(self.server.process.pid)}")
        for name in JUDGED:
            growth = self.growth_mib_a_minute(self.courses[name])
            if len(self.samples) >= MIN_LOOKS and growth >= MAX_GROWTH_MIB:
                found.append(f"{name}: memory grows by {growth:.2f} MiB a minute")
        return [f"{self.name}: {wrong}" for wrong in found]

    def ended(self) -> list[str]:
        """End the server; what it leaves."""
        family = children_of(self.server.process.pid)
        found = []
        if (status := self.server.stop()) != 0:
            found.append(f"the server ends with {status}")
        deadline = time.monotonic() + _AGREE_S
        while (left := [pid for pid in family if Path(f"/proc/{pid}").exists()]) and time.monotonic() < deadline:
            time.sleep(0.05)
        found += [f"process {pid} outlives the server" for pid in left]
        # Shared memory has the number of its process in its name.
        shared = {str(path) for path in _SHM.glob(f"*-{self.server.process.pid}-*")}
        found += [f"{path} is left" for path in sorted(shared | (_files_in(self.temporary) - self._kept))]
        tracebacks = [number for number, line in enumerate(self.server.log) if "Traceback" in line]
        if tracebacks:
            said = "".join(self.server.log[max(0, tracebacks[0] - 1) : tracebacks[0] + 30])
            found.append(f"{len(tracebacks)} tracebacks in the log, the first of them:\n{said}")
        return [f"{self.name}: {wrong}" for wrong in found]

    def _counted(self) -> Counter[str]:
        return counted(httpx.get(f"{self.server.url}/metrics", timeout=_SCRAPE_S).text)

    def _unaccounted(self) -> list[str]:
        deadline = time.monotonic() + _AGREE_S
        while True:
            served = self._counted()
            served.subtract(self._before)
            wrong = unaccounted(self.tally.outcomes, served)
            if not wrong or time.monotonic() > deadline:
                return wrong
            time.sleep(0.2)


def _files_in(folder: Path) -> set[str]:
    return {str(path) for path in folder.rglob("*") if path.is_file()}


def _descriptors(process: int) -> dict[str, int]:
    """What a process holds, by kind."""
    targets: Counter[str] = Counter()
    for link in Path(f"/proc/{process}/fd").iterdir():
        with suppress(FileNotFoundError):
            targets[re.sub(r"\d+", "", str(link.readlink()))] += 1
    return dict(targets)
