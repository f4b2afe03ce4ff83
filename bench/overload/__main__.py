"""What a server does with five times what it can answer: ``make bench-overload``; docs/overload.md tells of a run.

Server and clients have one core each. The peak is the most that clients get who send one request after the other. Five
times as many requests a second, and two hundred clients who name no deadline, are compared with it in turns: a core is
not as fast in one minute as in the next where others use the machine too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.machine import describe
from bench.overload.clients import Seen, closed_loop, open_loop
from bench.overload.figures import BACK_IN, GOODPUT_RATIO, REJECTION_P99_S, Phase, phase
from bench.overload.leaving import LEAVING_S, Left, leave
from bench.overload.requests import Target
from bench.report import RESULTS
from bench.servers import ROOT, TICKS, Server, serving
from bench.subjects import CAMERA_MOTION, clip
from rich.console import Console
from rich.table import Table

OUT = RESULTS.with_name("overload.json")
PEAK_CLIENTS = (2, 4, 8, 16)
SEARCH_S, PEAK_S, OVERLOAD_S, BEGIN_S = 8.0, 25.0, 25.0, 3.0
MANY_S, MANY_BEGIN_S = 60.0, 30.0  # they take turns, so the first answers come when all places are filled
ROUNDS = 3
TIMES_OVER = 5
MANY = 200
DEADLINE_MS = 4000
PAUSE_S = 0.03  # between pieces of 32 KiB: ten seconds of video take a quarter of a second


@dataclass(frozen=True)
class Line:
    """A figure beside what it must be."""

    title: str
    value: float
    sense: str
    limit: float

    @property
    def reached(self) -> bool:
        """Whether it is."""
        return self.value >= self.limit if self.sense == ">=" else self.value <= self.limit


@dataclass(frozen=True)
class Found:
    """Of one server: phases at its peak, in turns with phases beyond it, and clients that left."""

    peaks: list[Phase]
    over: list[Phase]
    left: list[Left]


@contextmanager
def _on_cores(server_core: int, own_core: int) -> Iterator[Server]:
    """The server at its defaults on one core, everything else of this run on another."""
    os.sched_setaffinity(0, {server_core})  # what is started now stays there
    with serving(ROOT) as server:
        os.sched_setaffinity(0, {own_core})
        yield server


def _core_s(server: Server) -> float:
    """Seconds of the server's core that it has taken or could have: those that others on this machine left."""
    (core,) = os.sched_getaffinity(server.pid)
    line = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith(f"cpu{core} "))
    idle, waiting = line.split()[4:6]
    return (int(idle) + int(waiting)) / TICKS + server.cpu_s


async def _timed(server: Server, name: str, work: Coroutine[Any, Any, Seen], seconds: float, begin_s: float) -> Phase:
    began = time.monotonic()
    working = asyncio.ensure_future(work)
    await asyncio.sleep(begin_s)
    before = _core_s(server)
    await asyncio.sleep(began + seconds - time.monotonic())
    core_s = _core_s(server) - before
    return phase(name, await working, began=began + begin_s, ended=began + seconds, core_s=core_s)


async def _measure(server: Server, *, many: bool, short: bool, say: Callable[[Phase], None]) -> Found:
    """One server under one kind of overload: what clients were told under another would be remembered."""
    address = urlsplit(server.url)
    query = f"model={CAMERA_MOTION}"
    video = clip().read_bytes()
    patient = Target(address.hostname or "", address.port or 0, query, video, PAUSE_S)
    hurried = Target(patient.host, patient.port, f"{query}&deadline_ms={DEADLINE_MS}", video, PAUSE_S)
    scale = 0.3 if short else 1.0
    await closed_loop(patient, 2, 3.0)  # so that what it costs is known

    async def measured(name: str, work: Coroutine[Any, Any, Seen], seconds: float, begin_s: float = BEGIN_S) -> Phase:
        found = await _timed(server, name, work, seconds * scale, begin_s * scale)
        say(found)
        await asyncio.sleep(1.0)
        return found

    async def peak_of(clients: int, seconds: float = PEAK_S) -> Phase:
        return await measured(f"{clients} clients", closed_loop(hurried, clients, seconds * scale), seconds)

    over: list[Phase] = []
    if many:
        peaks = [await peak_of(PEAK_CLIENTS[-1])]
        work = closed_loop(patient, MANY, MANY_S * scale)
        over.append(await measured(f"{MANY} clients", work, MANY_S, MANY_BEGIN_S))
        peaks.append(await peak_of(PEAK_CLIENTS[-1]))
        return Found(peaks, over, [])
    found = {clients: await peak_of(clients, SEARCH_S) for clients in PEAK_CLIENTS}
    best = max(found, key=lambda clients: found[clients].goodput)
    peaks = [await peak_of(best)]
    rate = TIMES_OVER * peaks[0].goodput
    for _ in range(ROUNDS):
        over.append(
            await measured(f"{TIMES_OVER} x the peak", open_loop(hurried, rate, OVERLOAD_S * scale), OVERLOAD_S)
        )
        peaks.append(await peak_of(best))
    return Found(peaks, over, await leave(patient))


def _lines(found: Found) -> list[Line]:
    peaks, over, name = found.peaks, found.over, found.over[0].name
    return [
        Line(f"{name}: goodput ÷ peak", _mean(over, "goodput") / _mean(peaks, "goodput"), ">=", GOODPUT_RATIO),
        Line(
            f"{name}: the same by core seconds",
            _mean(over, "core_goodput") / _mean(peaks, "core_goodput"),
            ">=",
            GOODPUT_RATIO,
        ),
        Line(f"{name}: a refusal's p99, ms", _most(over, "refusal_p99_s") * 1000, "<=", REJECTION_P99_S * 1000),
        Line(f"{name}: the same while the client sends, ms", _most(over, "sending_p99_s") * 1000, "<=", 50.0),
        Line(f"{name}: connections that broke", float(sum(sum(one.broken.values()) for one in over)), "<=", 0.0),
        Line(f"{name}: let in of those who waited once", min(one.back_in for one in over), ">=", BACK_IN),
        *(Line(f"left {one.stage}: freed after, ms", one.freed_s * 1000, "<=", LEAVING_S * 1000) for one in found.left),
    ]


def _mean(phases: list[Phase], figure: str) -> float:
    return sum(float(getattr(found, figure)) for found in phases) / len(phases)


def _most(phases: list[Phase], figure: str) -> float:
    return max(float(getattr(found, figure)) for found in phases)


def main() -> int:
    """Measure, write, print; 1 where a figure is short."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="whether everything works; its figures mean little")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that its server ends with it
    console = Console()
    machine = describe()
    console.print(machine.line, highlight=False)
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        console.print("two cores are needed, one for the server and one for its clients")
        return 1
    clip()

    def say(found: Phase) -> None:
        console.print(
            f"{found.name}: {found.goodput:.2f} answers/s, {found.core_goodput:.2f} a core second, "
            f"p50 {found.answer_p50_s:.2f} s, {found.refused} refused "
            f"(p50 {found.refusal_p50_s * 1000:.1f} ms, p99 {found.refusal_p99_s * 1000:.1f} ms), {found.late} late, "
            f"{found.back} came back, waits p50 {found.waits_p50_s:.0f} s, broken {found.broken}",
            highlight=False,
        )

    lines: list[Line] = []
    result: dict[str, Any] = {"machine": asdict(machine), "runs": []}
    for many in (False, True):
        with _on_cores(cores[0], cores[1]) as server:
            found = asyncio.run(_measure(server, many=many, short=arguments.short, say=say))
        lines += _lines(found)
        result["runs"].append(asdict(found))
    table = Table("figure", "value", "must be", "")
    for line in lines:
        verdict = "reached" if line.reached else "short"
        table.add_row(line.title, f"{line.value:.3g}", f"{line.sense} {line.limit:g}", verdict)
    console.print(table)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    result["figures"] = [asdict(line) | {"reached": line.reached} for line in lines]
    OUT.write_text(json.dumps(result, indent=2) + "\n")
    console.print(f"written: {OUT}", highlight=False)
    return 0 if all(line.reached for line in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
