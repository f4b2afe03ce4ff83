"""Decoders alone, in this process: what a video costs in threads, in workers that are there, and in new ones.

No engine runs beside them, so that little else is in the figures.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bench.servers import family, family_cpu_s, proportional_bytes
from bench.subjects import MEMORY_SUBJECT, clip

from laps_server.settings import decoder_environment
from laps_server.video.decode_pool import DecodePool
from laps_server.video.decoders import Decoders
from laps_server.video.extract_options import ExtractOptions
from laps_server.video.sandbox.options import SandboxOptions
from laps_server.video.sandbox.pool import SandboxPool
from laps_server.video.sandbox.processes import Zygote
from laps_server.view_grid import ViewGrid
from laps_server.view_options import view_options

THREAD, SANDBOX, FRESH = "thread", "sandbox", "a new worker for each"
_VIDEOS = 5  # of a round
_GRID = ViewGrid(5, 1)
_OPTIONS = SandboxOptions(environment=decoder_environment())


@dataclass(frozen=True)
class Start:
    """Of the process that workers are forked from, and of one worker: wall seconds, and memory behind a few videos."""

    zygote_s: float
    fork_s: float
    zygote_bytes: int
    worker_bytes: int


async def costs(rounds: int) -> dict[str, list[float]]:
    """Processor seconds of a video by kind of decoders, in the order of the rounds, in which they take turns."""
    pools: dict[str, Decoders] = {
        THREAD: DecodePool(1),
        SANDBOX: SandboxPool(1, options=_OPTIONS),
        FRESH: SandboxPool(1, options=replace(_OPTIONS, jobs=1)),
    }
    found: dict[str, list[float]] = {name: [] for name in pools}
    async with _started(pools):
        for number in range(-1, rounds):
            for name in sorted(pools, reverse=number % 2 == 1):
                spent = await _video_cpu_s(pools[name])
                if number >= 0:  # the first round warms up
                    found[name].append(spent)
    return found


@asynccontextmanager
async def _started(pools: Mapping[str, Decoders]) -> AsyncIterator[None]:
    for pool in pools.values():
        await pool.start()
    try:
        yield
    finally:
        for pool in pools.values():
            await asyncio.to_thread(pool.close)


async def _video_cpu_s(pool: Decoders) -> float:
    began = family_cpu_s(os.getpid())
    for _ in range(_VIDEOS):
        await _decode(pool, clip())
    return (family_cpu_s(os.getpid()) - began) / _VIDEOS


async def _decode(pool: Decoders, path: Path) -> None:
    options: ExtractOptions = view_options(MEMORY_SUBJECT.files.manifest, _GRID)
    with path.open("rb") as file:
        async for part in pool.parts(file.fileno(), options):
            part.pixels.max()  # every page is read, as an engine would
            del part


async def start(rounds: int) -> Start:
    """Medians of so many starts."""
    zygotes, forks = [], []
    for _ in range(rounds):
        began = time.perf_counter()
        zygote = Zygote(_OPTIONS)
        try:
            zygote.wait_until_ready()
            zygotes.append(time.perf_counter() - began)
            began = time.perf_counter()
            worker = zygote.fork()
            forks.append(time.perf_counter() - began)
            worker.close()
        finally:
            zygote.close()
    pool = SandboxPool(2, options=_OPTIONS)
    async with _started({SANDBOX: pool}):
        await asyncio.gather(*(_decode(pool, clip()) for _ in range(4)))
        _, zygote_process, *workers = family(os.getpid())
        memory = [proportional_bytes(worker) for worker in workers]
        return Start(
            statistics.median(zygotes),
            statistics.median(forks),
            proportional_bytes(zygote_process),
            int(statistics.median(memory)),
        )
