"""Servers under every kind of client and fault for a while, and what they have left then: ``make soak DURATION=1200``.

Clients that behave stand beside slow, broken and leaving ones, with files and with events. Meanwhile decoders are
killed, versions change and the disk is full. A second server has a Triton behind it, which is killed and started again;
where there is none (``make triton-env``), that part is left out, and said to be. Afterwards every request has to be
accounted for, nothing may be left of any, and memory may not have grown. The exit status is 1 where that is not so.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path
from random import Random

from fuzz.__main__ import FOLDER as FUZZ
from fuzz.cases import draw_case
from fuzz.seeds import make_seeds
from rich.console import Console
from rich.table import Table
from soak.clients import OK, Client, Files, kinds, kinds_before_triton
from soak.faults import Done, fill_disk, kill_decoders, restart_triton, swap_versions
from soak.watched import Watched

from support.live_servers import running_server
from support.model_repositories import LABELS, slow_graph, write_model
from support.plain_videos import BLUE, GREEN, RED, write_colour_video
from support.real_triton import ENVIRONMENT, Triton, running_triton, write_shipped_model, write_twin

MAX_UPLOAD_BYTES = 1_000_000
IDLE_TIMEOUT_S = 8.0  # a busy machine is no slow client
DISK_MIB = 16
SAMPLE_EVERY_S = 1.0
PROGRESS_S = 30.0
WARM_UP_S = 10.0  # after which what a server holds is what it holds at rest
TRITON_SHARE = 4  # of so many clients one more is of the server before Triton
TRITON_BATCH_S = 0.05  # so that batches are there when it is killed
_REST_S = 2.0
_SETTLING = 8  # requests that bring up as many decoders as a server keeps
_SETTINGS = {
    "LAPS_DEFAULT_MODEL": "colours",
    "LAPS_MAX_UPLOAD_BYTES": str(MAX_UPLOAD_BYTES),
    "LAPS_UPLOAD_IDLE_TIMEOUT_S": str(IDLE_TIMEOUT_S),
    "LAPS_MIN_UPLOAD_BYTES_PER_S": "100",  # what is sent is small
}


@dataclass
class Soaked:
    """The servers, what is done to them, and what was not as it should be."""

    folder: Path
    files: Files
    disk: Path | None = None
    servers: list[Watched] = field(default_factory=list)
    triton: Triton | None = None
    done: Done = field(default_factory=Done)
    failures: list[str] = field(default_factory=list)


@contextmanager
def small_disk(folder: Path) -> Iterator[Path | None]:
    """Make the folder a small file system of its own; None where that is not allowed."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(mount, check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        mounted = False
    try:
        yield folder if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=False)


def files(folder: Path, run: int) -> Files:
    """What clients send; damaged files are those of the fuzzer."""
    clip = write_colour_video(folder / "clip.mp4", [RED] * 12 + [GREEN] * 12)
    film = write_colour_video(folder / "film.mp4", [RED] * 10 + [BLUE] * 10 + [GREEN] * 10)
    seeds, numbers = make_seeds(FUZZ / "seeds"), count()

    def damaged() -> bytes:
        case = draw_case(run, next(numbers), seeds)
        return case.file(seeds[case.seed])[:MAX_UPLOAD_BYTES]

    return Files(clip.read_bytes(), film.read_bytes(), damaged, MAX_UPLOAD_BYTES)


@contextmanager
def started(soaked: Soaked, clients: int) -> Iterator[None]:
    """Run the servers: one with engines of its own, and one before Triton where there is one."""
    folder = soaked.folder
    write_model(folder / "models", "colours")
    write_model(folder / "models", "slow", graph=slow_graph(frames=4, size=32, classes=len(LABELS), rounds=1))
    own = {"LAPS_RELOAD_INTERVAL_S": "1", "LAPS_ENGINE": "ort", "LAPS_PRECISION": "float32"}
    with ExitStack() as running:
        soaked.disk = running.enter_context(small_disk(folder / "uploads"))
        soaked.servers.append(running.enter_context(_served(folder, "models", own)))
        soaked.servers[0].kinds, soaked.servers[0].clients = kinds(IDLE_TIMEOUT_S), clients
        if (ENVIRONMENT / ".installed").exists():
            version = write_twin(write_shipped_model(folder / "before triton", "colours"), folder / "triton")
            (version / "delay_s").write_text(str(TRITON_BATCH_S))
            soaked.triton = running.enter_context(running_triton(folder / "triton", folder / "triton.log"))
            before = {"LAPS_ENGINE": "triton", "LAPS_TRITON_URL": soaked.triton.grpc_url}
            soaked.servers.append(running.enter_context(_served(folder, "before triton", before)))
            soaked.servers[1].kinds = kinds_before_triton(IDLE_TIMEOUT_S)
            soaked.servers[1].clients = max(1, clients // TRITON_SHARE)
        yield


@contextmanager
def _served(folder: Path, name: str, settings: dict[str, str]) -> Iterator[Watched]:
    temporary, uploads = folder / f"temporary of {name}", folder / "uploads" / name
    for made in (temporary, uploads):
        made.mkdir()
    env = {"TMPDIR": str(temporary), "LAPS_CACHE_DIR": str(folder / "cache"), "LAPS_UPLOAD_DIR": str(uploads)}
    with running_server(folder / name, env=_SETTINGS | env | settings) as server:
        yield Watched(name, server, uploads, temporary)


async def soak(soaked: Soaked, options: argparse.Namespace, *, duration_s: float) -> None:
    """Clients and faults until the time is over."""
    began = time.monotonic()

    async def client(watched: Watched, number: int) -> None:
        own = Random(f"{options.run}/{watched.name}/{number}")
        asking = Client(watched.server.url, soaked.files, own)
        while time.monotonic() < began + duration_s:
            (name,) = own.choices(tuple(watched.kinds), [kind.share for kind in watched.kinds.values()])
            watched.tally.add(name, watched.kinds[name], await asking.ask(watched.kinds[name]))

    beside = [asyncio.create_task(fault) for fault in _faults(soaked, options.run)]
    beside.append(asyncio.create_task(_look(soaked, options.console)))
    try:
        await asyncio.gather(
            *(client(watched, number) for watched in soaked.servers for number in range(watched.clients))
        )
    finally:
        for task in beside:
            task.cancel()
        ended = await asyncio.gather(*beside, return_exceptions=True)
    soaked.failures += [f"a fault could not be made: {end!r}" for end in ended if isinstance(end, Exception)]


def _faults(soaked: Soaked, run: int) -> Iterator[Coroutine[None, None, None]]:
    folder, done = soaked.folder, soaked.done
    yield kill_decoders([watched.server for watched in soaked.servers], Random(run), done)
    yield swap_versions(folder / "models", "colours", folder / "made", done)
    if soaked.disk is not None:
        yield fill_disk(soaked.disk, done)
    if soaked.triton is not None:
        yield restart_triton(soaked.triton, soaked.servers[1].server, done)


async def _look(soaked: Soaked, console: Console) -> None:
    began = told_at = time.monotonic()
    while True:
        await asyncio.sleep(SAMPLE_EVERY_S)
        at_s = time.monotonic() - began
        for watched in soaked.servers:
            watched.look(at_s)
        if time.monotonic() - told_at > PROGRESS_S:
            told_at = time.monotonic()
            told = "; ".join(
                f"{watched.name}: {watched.tally.outcomes.total()} requests, {watched.tally.surprised} unexpected, "
                f"{watched.samples[-1].total_mib:.0f} MiB, {watched.samples[-1].gateway_mib:.0f} the gateway"
                for watched in soaked.servers
            )
            console.print(f"{at_s:.0f} s: {told}; {soaked.done}")


async def settle(soaked: Soaked) -> None:
    """Let the servers come to rest, with as many idle decoders as they keep; good requests are answered then."""
    good = kinds(IDLE_TIMEOUT_S)["good"]
    for watched in soaked.servers:
        asking = Client(watched.server.url, soaked.files, Random(0))
        outcomes = await asyncio.gather(*(asking.ask(good) for _ in range(_SETTLING)))
        for outcome in outcomes:
            watched.tally.add("good, when all is over", good, outcome)
        if set(outcomes) != {OK}:
            soaked.failures.append(f"{watched.name}: when all was over, good requests got {outcomes}")
    await asyncio.sleep(_REST_S)


def tables(soaked: Soaked, duration_s: float) -> Iterator[Table]:
    """The figures of a run."""
    total = sum(watched.tally.outcomes.total() for watched in soaked.servers)
    requests = Table("client", "requests", "what came of them", title=f"{total} requests in {duration_s:.0f} s")
    memory = Table("memory, MiB", "at first", "at last", "most", "growth a minute, last half")
    for watched in soaked.servers:
        for name, outcomes in sorted(watched.tally.seen.items()):
            told = ", ".join(f"{outcome} {times}" for outcome, times in outcomes.most_common())
            requests.add_row(name, str(outcomes.total()), told)
        for name, mib in watched.courses.items():
            growth = watched.growth_mib_a_minute(mib)
            numbers = (f"{number:.0f}" for number in _ends(mib))
            memory.add_row(f"{watched.name}: {name}", *numbers, f"{growth:+.2f}")
        decoders = (f"{number:.0f}" for number in _ends([look.decoders for look in watched.samples]))
        memory.add_row(f"{watched.name}: decoders, count", *decoders)
        for table in (requests, memory):
            table.add_section()
    faults = Table("fault", "times")
    for name, times in asdict(soaked.done).items():
        faults.add_row(name.replace("_", " "), str(times))
    yield from (requests, memory, faults)


def _ends(numbers: list[float] | list[int]) -> tuple[float, float, float]:
    return numbers[0], numbers[-1], max(numbers)


def main() -> None:
    """Parse, run, tell; the exit status is 1 where something is not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--duration", type=float, default=1200.0, help="seconds")
    parser.add_argument("--clients", type=int, default=8, help="requests at once")
    parser.add_argument("--run", type=int, default=1, help="another number draws other requests")
    options = parser.parse_args()
    options.console = console = Console()

    with tempfile.TemporaryDirectory() as name:
        soaked = Soaked(Path(name), files(Path(name), options.run))
        with started(soaked, options.clients):
            if soaked.disk is None:
                console.print("no small file system can be mounted here: the disk is not filled")
            if soaked.triton is None:
                console.print("there is no Triton here, see make triton-env: none is killed")
            asyncio.run(soak(soaked, options, duration_s=WARM_UP_S))
            asyncio.run(settle(soaked))
            soaked.done, soaked.failures = Done(), []
            for watched in soaked.servers:
                watched.begin()
            asyncio.run(soak(soaked, options, duration_s=options.duration))
            asyncio.run(settle(soaked))
            for watched in soaked.servers:
                soaked.failures += watched.judged()
            for watched in soaked.servers:
                soaked.failures += watched.ended()
    for table in tables(soaked, options.duration):
        console.print(table)
    for failure in soaked.failures:
        console.print(f"not as it should be: {failure}", markup=False, highlight=False)
    sys.exit(1 if soaked.failures else 0)


if __name__ == "__main__":
    main()
