"""A server under every kind of client and fault for a while, and what it has left then: ``make soak DURATION=1200``.

Clients that behave stand beside slow, broken and leaving ones, with files and with events. Meanwhile decoders are
killed, versions change and the disk is full. Afterwards every request has to be accounted for, nothing may be left of
any, and memory may not have grown. The exit status is 1 where that is not so.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path
from random import Random

import httpx
from fuzz.__main__ import FOLDER as FUZZ
from fuzz.cases import draw_case
from fuzz.seeds import make_seeds
from rich.console import Console
from rich.table import Table
from soak.clients import Client, Files, kinds
from soak.faults import Done, fill_disk, kill_decoders, swap_versions
from soak.memory import Sample, growth_mib_a_minute, sample
from soak.tally import Tally, counted, unaccounted

from support.live_servers import ServerProcess, running_server
from support.model_repositories import LABELS, slow_graph, write_model
from support.plain_videos import BLUE, GREEN, RED, write_colour_video
from support.server_traces import ServerTraces, children_of, wait_until_at_rest

MAX_GROWTH_MIB = 1.0  # a minute
JUDGED = ("gateway", "all processes")
MAX_UPLOAD_BYTES = 1_000_000
IDLE_TIMEOUT_S = 8.0  # a busy machine is no slow client
DISK_MIB = 16
SAMPLE_EVERY_S = 1.0
PROGRESS_S = 30.0
WARM_UP_S = 10.0  # after which what the server holds is what it holds at rest
_REST_S = 2.0
_AGREE_S = 15.0  # for requests that clients have left
_SHM = Path("/dev/shm")


@dataclass
class Soaked:
    """What was seen."""

    tally: Tally = field(default_factory=Tally)
    done: Done = field(default_factory=Done)
    samples: list[Sample] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


@contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """Make the folder a small file system of its own; false where that is not allowed."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(mount, check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        mounted = False
    try:
        yield mounted
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


async def soak(server: ServerProcess, folder: Path, sent: Files, options: argparse.Namespace, found: Soaked) -> None:
    """Clients and faults until the time is over."""
    chosen, draw = kinds(IDLE_TIMEOUT_S), Random(options.run)
    over = time.monotonic() + options.duration

    async def client(number: int) -> None:
        own = Random(f"{options.run}/{number}")
        asking = Client(server.url, sent, own)
        while time.monotonic() < over:
            (name,) = own.choices(tuple(chosen), [kind.share for kind in chosen.values()])
            found.tally.add(name, chosen[name], await asking.ask(chosen[name]))

    faults = [
        asyncio.create_task(kill_decoders(server, draw, found.done)),
        asyncio.create_task(swap_versions(folder / "models", "colours", folder / "made", found.done)),
        asyncio.create_task(_look(server, found, options.console)),
    ]
    if options.fills:
        faults.append(asyncio.create_task(fill_disk(folder / "uploads", found.done)))
    try:
        await asyncio.gather(*(client(number) for number in range(options.clients)))
    finally:
        for fault in faults:
            fault.cancel()
        ended = await asyncio.gather(*faults, return_exceptions=True)
    found.failures += [f"a fault could not be made: {end!r}" for end in ended if isinstance(end, Exception)]


async def settle(server: ServerProcess, sent: Files) -> None:
    """Let the server come to rest, with as many idle decoders as it keeps."""
    asking, good = Client(server.url, sent, Random(0)), kinds(IDLE_TIMEOUT_S)["good"]
    await asyncio.gather(*(asking.ask(good) for _ in range(8)))
    await asyncio.sleep(_REST_S)


async def _look(server: ServerProcess, found: Soaked, console: Console) -> None:
    began = told_at = time.monotonic()
    while True:
        await asyncio.sleep(SAMPLE_EVERY_S)
        found.samples.append(sample(server.process.pid, time.monotonic() - began))
        if time.monotonic() - told_at > PROGRESS_S:
            told_at = time.monotonic()
            last = found.samples[-1]
            console.print(
                f"{last.at_s:.0f} s: {found.tally.outcomes.total()} requests, {found.tally.surprised} unexpected, "
                f"{last.total_mib:.0f} MiB, of them {last.gateway_mib:.0f} of the gateway; {found.done}"
            )


def judge(server: ServerProcess, uploads: Path, rest: ServerTraces, before: Mapping[str, int], found: Soaked) -> None:
    """Add what is not as it should be, while the server still runs."""
    found.failures += found.tally.surprises
    deadline = time.monotonic() + _AGREE_S
    while True:
        served = counted(httpx.get(f"{server.url}/metrics").text)
        served.subtract(before)
        wrong = unaccounted(found.tally.outcomes, served)
        if not wrong or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    found.failures += wrong
    try:
        wait_until_at_rest(server, uploads, rest)
    except AssertionError as exc:
        found.failures.append(f"{exc}; descriptors are {descriptors(server.process.pid)}")
    for name, mib in _courses(found.samples).items():
        growth = growth_mib_a_minute([look.at_s for look in found.samples], mib)
        if growth >= MAX_GROWTH_MIB and name in JUDGED:
            found.failures.append(f"{name}: memory grows by {growth:.2f} MiB a minute")


def _courses(samples: list[Sample]) -> dict[str, list[float]]:
    return {
        "gateway": [look.gateway_mib for look in samples],
        "zygote, one share of what decoders began with": [look.zygote_mib for look in samples],
        "all processes": [look.total_mib for look in samples],
    }


def descriptors(process: int) -> dict[str, int]:
    """What a process holds, by kind."""
    targets: Counter[str] = Counter()
    for link in Path(f"/proc/{process}/fd").iterdir():
        with suppress(FileNotFoundError):
            targets[re.sub(r"\d+", "", str(link.readlink()))] += 1
    return dict(targets)


def stopped(server: ServerProcess, temporary: Path, kept: set[str], found: Soaked) -> None:
    """End the server, and add what it leaves."""
    family = children_of(server.process.pid)
    if (status := server.stop()) != 0:
        found.failures.append(f"the server ends with {status}")
    deadline = time.monotonic() + _AGREE_S
    while (left := [pid for pid in family if Path(f"/proc/{pid}").exists()]) and time.monotonic() < deadline:
        time.sleep(0.05)
    found.failures += [f"process {pid} outlives the server" for pid in left]
    found.failures += [f"{path} is left" for path in sorted(temporary_files(temporary, server.process.pid) - kept)]
    tracebacks = [number for number, line in enumerate(server.log) if "Traceback" in line]
    if tracebacks:
        said = "".join(server.log[tracebacks[0] - 1 : tracebacks[0] + 30])
        found.failures.append(f"{len(tracebacks)} tracebacks in the log, the first of them:\n{said}")


def temporary_files(folder: Path, process: int) -> set[str]:
    """Those in the server's folder for them, and shared memory with its process's number, as all of its is named."""
    return {str(path) for path in (*folder.rglob("*"), *_SHM.glob(f"*-{process}-*")) if path.is_file()}


def tables(found: Soaked, duration_s: float) -> Iterator[Table]:
    """The figures of a run."""
    seen = found.tally.outcomes
    requests = Table("client", "requests", "what came of them", title=f"{seen.total()} requests in {duration_s:.0f} s")
    for name, outcomes in sorted(found.tally.seen.items()):
        told = ", ".join(f"{outcome} {times}" for outcome, times in outcomes.most_common())
        requests.add_row(name, str(outcomes.total()), told)
    yield requests
    memory = Table("memory, MiB", "at first", "at last", "most", "growth a minute, last half")
    at_s = [look.at_s for look in found.samples]
    for name, mib in _courses(found.samples).items():
        growth = growth_mib_a_minute(at_s, mib)
        memory.add_row(name, f"{mib[0]:.0f}", f"{mib[-1]:.0f}", f"{max(mib):.0f}", f"{growth:+.2f}")
    memory.add_row("decoders, count", *(str(number) for number in _ends([look.decoders for look in found.samples])))
    yield memory
    faults = Table("fault", "times")
    for name, times in asdict(found.done).items():
        faults.add_row(name.replace("_", " "), str(times))
    yield faults


def _ends(numbers: list[int]) -> tuple[int, int, int]:
    return numbers[0], numbers[-1], max(numbers)


def main() -> None:
    """Parse, run, tell; the exit status is 1 where something is not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--duration", type=float, default=1200.0, help="seconds")
    parser.add_argument("--clients", type=int, default=8, help="requests at once")
    parser.add_argument("--run", type=int, default=1, help="another number draws other requests")
    options = parser.parse_args()
    options.console = console = Console()
    found = Soaked()

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sent = files(folder, options.run)
        write_model(folder / "models", "colours")
        slow = slow_graph(frames=4, size=32, classes=len(LABELS), rounds=1)
        write_model(folder / "models", "slow", graph=slow)
        temporary = folder / "temporary"
        temporary.mkdir()
        env = {
            "TMPDIR": str(temporary),
            "LAPS_CACHE_DIR": str(folder / "cache"),
            "LAPS_DEFAULT_MODEL": "colours",
            "LAPS_UPLOAD_DIR": str(folder / "uploads"),
            "LAPS_MAX_UPLOAD_BYTES": str(MAX_UPLOAD_BYTES),
            "LAPS_UPLOAD_IDLE_TIMEOUT_S": str(IDLE_TIMEOUT_S),
            "LAPS_MIN_UPLOAD_BYTES_PER_S": "100",  # what is sent is small
            "LAPS_RELOAD_INTERVAL_S": "1",
            "LAPS_ENGINE": "ort",
            "LAPS_PRECISION": "float32",
        }
        with small_disk(folder / "uploads") as options.fills, running_server(folder / "models", env=env) as server:
            if not options.fills:
                console.print("no small file system can be mounted here: the disk is not filled")
            warm = argparse.Namespace(**vars(options) | {"duration": WARM_UP_S})
            asyncio.run(soak(server, folder, sent, warm, Soaked()))
            asyncio.run(settle(server, sent))
            rest = ServerTraces.of(server, folder / "uploads")
            kept = temporary_files(temporary, server.process.pid)
            before = counted(httpx.get(f"{server.url}/metrics").text)
            asyncio.run(soak(server, folder, sent, options, found))
            judge(server, folder / "uploads", rest, before, found)
            stopped(server, temporary, kept, found)
    for table in tables(found, options.duration):
        console.print(table)
    for failure in found.failures:
        console.print(f"not as it should be: {failure}", markup=False, highlight=False)
    sys.exit(1 if found.failures else 0)


if __name__ == "__main__":
    main()
