"""What Ray costs a clip: processor seconds of the same pipeline with it and without it, in steady state.

``laps-server ray-serve`` takes turns with ``laps-server serve``, and ``batch`` with ``classify``: all processes of each
are counted, Ray's too. Their start is not, and of what they spend at rest the cost is told with and without.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.loads import Load, send
from bench.peer_trial import warm
from bench.scale.machinery import links
from bench.servers import ROOT, Server, family_cpu_s, free_port, own_environment, serving
from bench.subjects import CAMERA_MOTION, MEMORY_SUBJECT

MAX_MORE = 0.05
LOAD = Load(32, at_once=4)
IDLE_S = 10.0
VIDEOS, PER_FILE = 640, 64
FIRST, LAST = 128, 512  # of the videos: between them it is counted
_POLL_S = 0.02
_END_S = 60.0
_IDLE_RAY = """
import sys
from laps_server.scale.ray_session import ray_session
from laps_server.scale.settings import RaySettings
with ray_session(RaySettings()):
    print("up", flush=True)
    sys.stdin.read()
"""


@dataclass(frozen=True)
class Spent:
    """Processor seconds a clip, round by round; ``net`` is without what is spent at rest in the same time."""

    gross: list[float] = field(default_factory=list)
    net: list[float] = field(default_factory=list)

    def add(self, cpu_s: float, wall_s: float, idle: float) -> None:
        """One round, by clip; ``idle`` is processor seconds a second at rest."""
        self.gross.append(cpu_s)
        self.net.append(cpu_s - idle * wall_s)


@dataclass(frozen=True)
class Pair:
    """A command on Ray beside its plain twin, in the order of the same rounds, and what each spends at rest."""

    plain_name: str
    ray_name: str
    plain: Spent
    ray: Spent
    idle: dict[str, float]  # cores

    @property
    def medians(self) -> tuple[float, float]:
        """Of both, plain first, at rest not counted."""
        return statistics.median(self.plain.net), statistics.median(self.ray.net)

    @property
    def more(self) -> float:
        """The share that Ray adds: the median of rounds, at rest not counted."""
        return _more(self.ray.net, self.plain.net)

    @property
    def more_gross(self) -> float:
        """The same, with what is spent at rest in it."""
        return _more(self.ray.gross, self.plain.gross)

    @property
    def reached(self) -> bool:
        """Whether that is little enough."""
        return self.more <= MAX_MORE


def _more(ray: list[float], plain: list[float]) -> float:
    return statistics.median(one / other for one, other in zip(ray, plain, strict=True)) - 1


def served(rounds: int, video: bytes, say: Callable[[str], None]) -> Pair:
    """``ray-serve`` beside ``serve``; both run all the time, and one of them has work."""
    names = ("serve", "ray-serve")
    spent = {name: Spent() for name in names}
    with ExitStack() as stack:
        cache = stack.enter_context(tempfile.TemporaryDirectory())
        servers = {name: stack.enter_context(_server(name, cache)) for name in names}
        for name, server in servers.items():
            answer = warm(server, LOAD.at_once, video, model=CAMERA_MOTION)
            say(f"{name}: {answer.engine} {answer.precision}")
        time.sleep(IDLE_S)  # what is done once, behind the first requests
        idle = {name: _idle_cores(server.pid) for name, server in servers.items()}
        for number in range(rounds):
            for name in sorted(names, reverse=number % 2 == 1):
                cost = send(servers[name], LOAD, video, model=CAMERA_MOTION)
                spent[name].add(cost.cpu_s, cost.wall_s, idle[name])
                say(f"{name}: {1000 * cost.cpu_s:.1f} ms of processors and {1000 * cost.wall_s:.1f} ms a clip")
    return Pair(*names, spent[names[0]], spent[names[1]], idle)


def offline(rounds: int, video: Path, say: Callable[[str], None]) -> Pair:
    """``batch`` beside ``classify``, each with one pipeline on all cores."""
    names = ("classify", "batch")
    spent = {name: Spent() for name in names}
    idle = {"classify": 0.0, "batch": _idle_ray()}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        links(video, folder / "videos", VIDEOS)
        environment = own_environment(ROOT, _pipeline(str(folder / "cache")))
        for number in range(rounds):
            for name in sorted(names, reverse=number % 2 == 0):
                cpu_s, wall_s = _steady(name, folder, environment, number)
                spent[name].add(cpu_s, wall_s, idle[name])
                say(f"{name}: {1000 * cpu_s:.1f} ms of processors and {1000 * wall_s:.1f} ms a clip")
    return Pair(*names, spent[names[0]], spent[names[1]], idle)


def _pipeline(cache: str) -> dict[str, str]:
    """The same of all commands; the cache, so that all of them have the engine that the first one chose."""
    cores = str(len(os.sched_getaffinity(0)))
    return {"LAPS_THREADS": cores, "LAPS_DECODE_WORKERS": cores, "LAPS_CACHE_DIR": cache}


@contextmanager
def _server(name: str, cache: str) -> Iterator[Server]:
    cores = str(len(os.sched_getaffinity(0)))
    replica = {"REPLICA_CPUS": cores, "MIN_REPLICAS": "1", "MAX_REPLICAS": "1", "REPLICA_PORT": str(free_port())}
    settings = _pipeline(cache)
    if name == "ray-serve":
        settings |= {f"LAPS_RAY_{key}": value for key, value in replica.items()}
    with serving(ROOT, MEMORY_SUBJECT.repository, settings, subcommand=name) as server:
        yield server


def _idle_cores(pid: int) -> float:
    before, began = family_cpu_s(pid), time.monotonic()
    time.sleep(IDLE_S)
    return (family_cpu_s(pid) - before) / (time.monotonic() - began)


def _idle_ray() -> float:
    """Cores that the Ray of a batch job keeps busy with nothing to do."""
    command = [sys.executable, "-c", _IDLE_RAY]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, env=own_environment(ROOT, {}), text=True, **pipes) as process:  # type: ignore[call-overload]
        process.stdout.readline()
        time.sleep(IDLE_S)
        found = _idle_cores(process.pid)
        process.communicate()
    return found


def _steady(name: str, folder: Path, environment: Mapping[str, str], number: int) -> tuple[float, float]:
    """Processor and wall seconds a clip of one run, once it is under way and before it ends."""
    out = folder / f"{name}-{number}"
    common = [sys.executable, "-m", "laps_server", name, str(folder / "videos")]
    model = ["--model-repository", str(MEMORY_SUBJECT.repository)]
    if name == "classify":
        command = [*common, "--jsonl", "--no-frames", *model]
    else:
        actor = ["--actors", "1", "--cpus-per-actor", environment["LAPS_THREADS"]]
        command = [*common, str(out), *actor, "--videos-per-file", str(PER_FILE), *model]
    lines = folder / "lines"
    done: Callable[[], int] = (lambda: _lines(lines)) if name == "classify" else (lambda: PER_FILE * _files(out))
    with lines.open("wb") as stdout, (folder / "errors").open("wb") as stderr:
        process = subprocess.Popen(command, env=dict(environment), stdout=stdout, stderr=stderr, cwd=ROOT)
        try:
            marks = [_mark(process, done, number_done) for number_done in (FIRST, LAST)]
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(_END_S)
    (first, began, before), (last, ended, after) = marks
    return (after - before) / (last - first), (ended - began) / (last - first)


def _mark(process: subprocess.Popen[bytes], done: Callable[[], int], wanted: int) -> tuple[int, float, float]:
    """How many are done once so many are, when that is, and what was spent until then.

    Raises:
        RuntimeError: the command ends before.
    """
    while (found := done()) < wanted:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended after {found} videos")
        time.sleep(_POLL_S)
    return found, time.monotonic(), family_cpu_s(process.pid)


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n")


def _files(folder: Path) -> int:
    return sum(1 for _ in folder.glob("part-*"))
