"""Decoding off the event loop: what runs, what is told to stop, and that nothing is left open."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
import weakref
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from laps_server.errors import ClientClosed, ShuttingDown
from laps_server.part import Part
from laps_server.video import decode_pool
from laps_server.video.decode_pool import DecodePool
from laps_server.video.extract import extract_parts
from laps_server.video.extract_options import ExtractOptions
from laps_server.video.limits import MediaLimits
from laps_server.view_grid import ViewGrid
from support.plain_videos import RED, write_colour_video

OPTIONS = ExtractOptions(ViewGrid(1, 1), frames=4, stride=2, short_side=32, crop_height=32, crop_width=32)


class LongDecode:
    """Stands in for a long decode: runs until it is released or told to stop."""

    def __init__(self) -> None:
        self.started = threading.Event()
        self.release = threading.Event()
        self.told_to_stop = threading.Event()

    def __call__(
        self,
        file: int,
        options: ExtractOptions,
        *,
        limits: MediaLimits,
        threads: int,
        should_stop: Callable[[], bool],
    ) -> Generator[Part, None, None]:
        self.started.set()
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and not self.release.is_set():
            if should_stop():
                self.told_to_stop.set()
                raise ClientClosed("told to stop")
            time.sleep(0.005)
        yield from extract_parts(file, options, limits=limits, threads=threads)


@pytest.fixture
def long_decode(monkeypatch: pytest.MonkeyPatch) -> LongDecode:
    stand_in = LongDecode()
    monkeypatch.setattr(decode_pool, "extract_parts", stand_in)
    return stand_in


async def parts_of(pool: DecodePool, file: int, options: ExtractOptions = OPTIONS) -> list[Part]:
    return [part async for part in pool.parts(file, options)]


@pytest_asyncio.fixture
async def pool() -> AsyncGenerator[DecodePool, None]:
    pool = DecodePool(1)
    await pool.start()
    yield pool
    await asyncio.to_thread(pool.close)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(write_colour_video(tmp_path / "clip.mp4", [RED] * 8), os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


async def test_the_event_loop_runs_while_a_video_is_decoded(
    long_decode: LongDecode, pool: DecodePool, file: int
) -> None:
    job = asyncio.create_task(parts_of(pool, file))
    await until(long_decode.started.is_set)
    # Only a loop that is free gets here before the decode ends.
    assert not job.done()
    long_decode.release.set()
    assert (await job)[-1].video.codec == "mpeg4"


@pytest.mark.skipif(sys.platform != "linux", reason="a thread has a priority of its own on Linux alone")
async def test_decoders_leave_the_processor_to_the_engine(
    monkeypatch: pytest.MonkeyPatch, pool: DecodePool, file: int
) -> None:
    priorities: list[int] = []

    def note(*args: object, **options: object) -> Generator[Part, None, None]:
        priorities.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        yield from ()

    monkeypatch.setattr(decode_pool, "extract_parts", note)
    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    assert await parts_of(pool, file) == []
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before
    assert priorities[0] > before or before == 19  # 19 is the last there is


async def test_a_cancelled_decode_is_told_to_stop(long_decode: LongDecode, pool: DecodePool, file: int) -> None:
    before = open_descriptors()
    job = asyncio.create_task(parts_of(pool, file))
    await until(long_decode.started.is_set)
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    await until(long_decode.told_to_stop.is_set)
    await until(lambda: open_descriptors() == before)


async def test_a_decode_cancelled_in_the_queue_never_starts(
    long_decode: LongDecode, pool: DecodePool, file: int
) -> None:
    running = asyncio.create_task(parts_of(pool, file))
    await until(long_decode.started.is_set)
    long_decode.started.clear()
    before = open_descriptors()
    queued = asyncio.create_task(parts_of(pool, file))
    await asyncio.sleep(0)
    queued.cancel()
    with pytest.raises(asyncio.CancelledError):
        await queued
    assert open_descriptors() == before
    long_decode.release.set()
    await running
    assert not long_decode.started.is_set()


async def test_parts_come_when_they_are_asked_for_and_leave_nothing_open(pool: DecodePool, file: int) -> None:
    before = open_descriptors()
    options = replace(OPTIONS, grid=ViewGrid(3, 1), frames=1)
    parts = await parts_of(pool, file, options)
    assert len(parts) == 2
    assert [part.ends_video for part in parts] == [False, True]
    assert open_descriptors() == before
    early = pool.parts(file, options)
    await anext(early)
    assert open_descriptors() == before + 1
    await early.aclose()
    assert open_descriptors() == before


async def test_a_video_that_waits_for_a_thread_between_its_parts_does_not_hold_one(
    pool: DecodePool, file: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = pool.parts(file, replace(OPTIONS, grid=ViewGrid(3, 1), frames=1))
    await anext(steps)
    stand_in = LongDecode()
    monkeypatch.setattr(decode_pool, "extract_parts", stand_in)
    job = asyncio.create_task(parts_of(pool, file))
    await until(stand_in.started.is_set)  # on the only thread
    following = asyncio.ensure_future(anext(steps))
    await asyncio.sleep(0.05)
    assert not following.done()
    stand_in.release.set()
    await job
    assert (await following).ends_video
    await steps.aclose()


async def test_the_end_of_a_video_waits_for_nobody(
    pool: DecodePool, file: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its answer is as good as there; other videos have the decoder for long."""
    steps = pool.parts(file, OPTIONS)
    assert (await anext(steps)).ends_video
    stand_in = LongDecode()
    monkeypatch.setattr(decode_pool, "extract_parts", stand_in)
    job = asyncio.create_task(parts_of(pool, file))
    await until(stand_in.started.is_set)  # on the only thread
    async with asyncio.timeout(5):
        assert await anext(steps, None) is None
    stand_in.release.set()
    await job


async def test_what_was_handed_over_is_not_held_here(pool: DecodePool, file: int) -> None:
    steps = pool.parts(file, OPTIONS)
    part = await anext(steps)
    pixels = weakref.ref(part.pixels)
    del part
    await until(lambda: pixels() is None)
    await steps.aclose()


async def test_closing_stops_what_runs_and_tells_what_waits(long_decode: LongDecode, file: int) -> None:
    pool = DecodePool(1)
    await pool.start()
    before = open_descriptors()
    jobs = [asyncio.create_task(parts_of(pool, file)) for _ in range(3)]
    await until(long_decode.started.is_set)
    await asyncio.wait_for(asyncio.to_thread(pool.close), 5)
    for job in jobs:
        with pytest.raises(ShuttingDown):
            await job
    with pytest.raises(ShuttingDown):
        await parts_of(pool, file)
    assert open_descriptors() == before
