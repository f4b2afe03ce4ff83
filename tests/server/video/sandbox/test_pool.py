"""Decoding in processes: the same Parts as in threads, and whatever a worker does, the next video is decoded."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from laps_server.errors import (
    BadParameter,
    DecoderCrashed,
    InternalError,
    ShuttingDown,
    UnsupportedContainer,
    VideoCorrupt,
)
from laps_server.observe import DecoderEnded, DecoderStarted, Stage
from laps_server.part import Part
from laps_server.settings import decoder_environment
from laps_server.video.extract import extract_parts
from laps_server.video.extract_options import ExtractOptions
from laps_server.video.limits import MediaLimits
from laps_server.video.sandbox.options import SandboxOptions
from laps_server.video.sandbox.pool import SandboxPool
from laps_server.video.sandbox.processes import Zygote
from laps_server.view_grid import ViewGrid
from support import planted_bugs
from support.numbered_videos import ffmpeg
from support.plain_videos import RED, write_colour_video

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the sandbox")

OPTIONS = ExtractOptions(ViewGrid(1, 1), frames=4, stride=2, short_side=32, crop_height=32, crop_width=32)
TWO_PARTS = replace(OPTIONS, grid=ViewGrid(3, 1), frames=1)


class StageLog:
    def __init__(self) -> None:
        self.stages: list[Stage] = []

    def observe(self, stage: Stage) -> None:
        self.stages.append(stage)

    @property
    def started(self) -> int:
        return self.stages.count(DecoderStarted())

    @property
    def ended(self) -> list[str]:
        return [stage.why for stage in self.stages if isinstance(stage, DecoderEnded)]


@asynccontextmanager
async def started(
    bug: str | None = None, *, workers: int = 1, observer: StageLog | None = None, **options: object
) -> AsyncGenerator[SandboxPool, None]:
    tests = str(Path(planted_bugs.__file__).parents[1])
    path = os.pathsep.join([tests, *filter(None, sys.path)])
    environment = decoder_environment() | {"PYTHONPATH": path}
    for option, variable in (("flag", planted_bugs.FLAG), ("wanted", planted_bugs.WANTED)):
        environment |= {variable: str(options.pop(option))} if option in options else {}
    if bug is not None:
        options["extract"] = f"support.planted_bugs:{bug}"
    confined = SandboxOptions(environment=environment, **options)  # type: ignore[arg-type]
    pool = SandboxPool(workers, options=confined, observer=observer)
    await pool.start()
    try:
        yield pool
    finally:
        await asyncio.to_thread(pool.close)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(write_colour_video(tmp_path / "clip.mp4", [RED] * 8), os.O_RDWR)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def nothing_is_left() -> Iterator[None]:
    before = open_descriptors()
    yield
    deadline = time.monotonic() + 10
    while open_descriptors() > before or children():  # what other tests left may go meanwhile
        assert time.monotonic() < deadline, "something is left"
        time.sleep(0.01)


async def parts_of(pool: SandboxPool, file: int, options: ExtractOptions = OPTIONS) -> list[Part]:
    return [part async for part in pool.parts(file, options)]


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


_of_others: set[int] = set()


@pytest.fixture(autouse=True)
def _count_own_children_alone() -> None:
    """Servers of other tests may run in this process's name meanwhile."""
    _of_others.clear()
    _of_others.update(children())


def children(process: int | str = "self") -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{process}/task").iterdir():
        with suppress(OSError):  # a thread may end meanwhile
            found += map(int, (task / "children").read_text().split())
    return [child for child in found if child not in _of_others]


def workers() -> list[int]:
    """Of the one zygote."""
    return [worker for zygote in children() for worker in children(zygote)]


def runs(process: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return False


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


def facts(part: Part) -> list[object]:
    """All that a Part is, arrays as lists."""
    values = part.__reduce__()[1]
    return [value.tolist() if hasattr(value, "tolist") else value for value in values]


@pytest.mark.usefixtures("nothing_is_left")
@pytest.mark.parametrize(
    "options",
    [
        OPTIONS,
        TWO_PARTS,
        replace(OPTIONS, grid=ViewGrid(5, 3), thumbnails="all"),
        replace(OPTIONS, interpolation="bilinear_antialiased"),
    ],
)
async def test_parts_are_those_of_the_decoder_itself(file: int, options: ExtractOptions) -> None:
    expected = list(extract_parts(file, options, limits=MediaLimits()))
    async with started() as pool:
        for _ in range(2):  # by a worker that has decoded before, too
            assert [facts(part) for part in await parts_of(pool, file, options)] == [facts(part) for part in expected]


@pytest.mark.usefixtures("nothing_is_left")
async def test_pixels_cannot_be_changed_by_whoever_gets_them(file: int) -> None:
    async with started() as pool:
        (part,) = await parts_of(pool, file)
        with pytest.raises(ValueError, match="read-only"):
            part.pixels[0] = 1


@pytest.mark.usefixtures("nothing_is_left")
async def test_what_is_wrong_with_a_file_is_told_as_ever(tmp_path: Path) -> None:
    path = tmp_path / "words.mp4"
    path.write_text("no video at all " * 100)
    async with started() as pool:
        with path.open("rb") as text, pytest.raises(UnsupportedContainer) as caught:
            await parts_of(pool, text.fileno())
    with path.open("rb") as text, pytest.raises(UnsupportedContainer) as expected:
        list(extract_parts(text.fileno(), OPTIONS, limits=MediaLimits()))
    assert caught.value == expected.value


@pytest.mark.usefixtures("nothing_is_left")
async def test_nothing_is_left_of_a_worker_whose_client_leaves_before_it_is_made(file: int) -> None:
    async with started() as pool:
        (zygote,), (first,) = children(), workers()
        os.kill(zygote, signal.SIGSTOP)
        os.kill(first, signal.SIGKILL)
        await until(lambda: not runs(first))  # else it is asked, and lost, before another one is made
        asking = asyncio.create_task(parts_of(pool, file))
        await asyncio.sleep(0.2)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        os.kill(zygote, signal.SIGCONT)
        await until(lambda: workers() not in ([], [first]))
        assert len(await parts_of(pool, file)) == 1


@pytest.mark.usefixtures("nothing_is_left")
@pytest.mark.parametrize("name", ["titled.mkv", "titled.mp4"])
async def test_a_video_with_subtitles_needs_no_module_that_a_worker_cannot_open(tmp_path: Path, name: str) -> None:
    (tmp_path / "titles.srt").write_text("1\n00:00:00,000 --> 00:00:00,500\nwords\n")
    video = write_colour_video(tmp_path / "clip.mp4", [RED] * 8)
    kept = ("-c:v", "copy", "-c:s", "mov_text" if name.endswith("mp4") else "srt")
    ffmpeg("-i", video, "-i", tmp_path / "titles.srt", *kept, tmp_path / name)
    async with started() as pool:
        with (tmp_path / name).open("rb") as titled:
            assert len(await parts_of(pool, titled.fileno())) == 1


@pytest.mark.usefixtures("nothing_is_left")
async def test_a_video_that_crashes_two_workers_is_refused_and_its_neighbours_are_not(
    file: int, tmp_path: Path
) -> None:
    short = tmp_path / "short.mp4"
    short.write_bytes(b"short")
    async with started("segfault_if_short", workers=2) as pool:
        with short.open("rb") as bad:
            answers = await asyncio.gather(
                *(parts_of(pool, descriptor) for descriptor in (file, bad.fileno(), file, bad.fileno(), file)),
                return_exceptions=True,
            )
        assert [type(answer) for answer in answers] == [list, DecoderCrashed, list, DecoderCrashed, list]
        assert len(await parts_of(pool, file)) == 1


@pytest.mark.usefixtures("nothing_is_left")
async def test_a_crash_in_the_middle_is_tried_again_and_nothing_comes_twice(file: int, tmp_path: Path) -> None:
    expected = list(extract_parts(file, TWO_PARTS, limits=MediaLimits()))
    flag = tmp_path / "crashed"
    async with started("segfault_once", filter="off", flag=flag) as pool:
        parts = await parts_of(pool, file, TWO_PARTS)
    assert flag.exists()
    assert [facts(part) for part in parts] == [facts(part) for part in expected]


@pytest.mark.usefixtures("nothing_is_left")
@pytest.mark.parametrize("bug", ["segfault", "end_quietly", "talk_nonsense", "talk_at_length"])
async def test_a_worker_that_is_lost_twice_is_the_files_fault(file: int, bug: str) -> None:
    async with started(bug) as pool:
        for _ in range(2):
            with pytest.raises(DecoderCrashed, match="twice"):
                await parts_of(pool, file)


@pytest.mark.usefixtures("nothing_is_left")
async def test_a_decoder_that_gets_no_further_is_killed(file: int) -> None:
    async with started("stuck", stall_s=0.3) as pool:
        with pytest.raises(DecoderCrashed, match=r"no further for 0\.3 s"):
            await parts_of(pool, file)
        await until(lambda: not workers())


@pytest.mark.usefixtures("nothing_is_left")
async def test_a_long_decode_that_gets_on_is_not_killed(file: int) -> None:
    async with started("deaf", stall_s=0.2) as pool:
        job = asyncio.create_task(parts_of(pool, file))
        await asyncio.sleep(1)
        assert not job.done()
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job


@pytest.mark.usefixtures("nothing_is_left")
@pytest.mark.parametrize("bug", ["deaf", "stuck"])
async def test_a_worker_that_does_not_hear_is_killed_when_nobody_waits(file: int, bug: str) -> None:
    async with started(bug) as pool:
        (worker,) = workers()
        job = asyncio.create_task(parts_of(pool, file))
        await asyncio.sleep(0.2)
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job
        await until(lambda: worker not in workers())


@pytest.mark.usefixtures("nothing_is_left")
async def test_a_worker_that_hears_is_used_again(file: int) -> None:
    async with started() as pool:
        before = workers()
        steps = pool.parts(file, TWO_PARTS)
        await anext(steps)
        await steps.aclose()
        await asyncio.sleep(0.1)
        assert len(await parts_of(pool, file)) == 1
        assert workers() == before


@pytest.mark.usefixtures("nothing_is_left")
async def test_memory_beyond_the_limit_is_refused(file: int) -> None:
    async with started("eat_memory", memory_mib=256) as pool:
        with pytest.raises(DecoderCrashed, match="more memory"):
            await parts_of(pool, file)


@pytest.mark.usefixtures("nothing_is_left")
async def test_decoders_yield_to_the_server_and_a_terminals_signals_do_not_reach_them(file: int) -> None:
    async with started() as pool:
        await parts_of(pool, file)
        (zygote,), (worker,) = children(), workers()
        for process in (zygote, worker):
            assert os.getsid(process) == os.getsid(0), "niceness counts within a session"
            assert os.getpgid(process) == zygote != os.getpgid(0)
        assert os.getpriority(os.PRIO_PROCESS, worker) > os.getpriority(os.PRIO_PROCESS, 0)


async def test_where_memory_runs_out_a_worker_goes_before_the_server(file: int) -> None:
    async with started() as pool:
        await parts_of(pool, file)
        (worker,) = workers()
        assert Path(f"/proc/{worker}/oom_score_adj").read_text() == "1000\n"


@pytest.mark.usefixtures("nothing_is_left")
@pytest.mark.parametrize("wanted", planted_bugs.FORBIDDEN)
async def test_a_worker_can_do_nothing_but_compute(file: int, wanted: str) -> None:
    async with started("try_what_is_forbidden", filter="required", wanted=wanted) as pool:
        with pytest.raises(VideoCorrupt, match=r"^refused$"):
            await parts_of(pool, file)


@pytest.mark.usefixtures("nothing_is_left")
@pytest.mark.parametrize("wanted", ["open a file", "make a socket", "make a pipe"])
async def test_without_a_filter_it_could(file: int, wanted: str) -> None:
    async with started("try_what_is_forbidden", filter="off", wanted=wanted) as pool:
        with pytest.raises(VideoCorrupt, match=r"^let through$"):
            await parts_of(pool, file)


@pytest.mark.usefixtures("nothing_is_left")
async def test_a_worker_cannot_write_the_upload(tmp_path: Path) -> None:
    path = write_colour_video(tmp_path / "clip.mp4", [RED] * 8)
    content = path.read_bytes()
    with path.open("r+b") as upload:
        async with started("talk_nonsense") as pool:  # writes to every descriptor that it has
            with pytest.raises(DecoderCrashed):
                await parts_of(pool, upload.fileno())
    assert path.read_bytes() == content


@pytest.mark.usefixtures("nothing_is_left")
async def test_workers_are_replaced_after_so_many_videos(file: int) -> None:
    async with started(jobs=2) as pool:
        (first,) = workers()
        await parts_of(pool, file)
        assert workers() == [first]
        await parts_of(pool, file)
        await parts_of(pool, file)
        await until(lambda: first not in workers())


@pytest.mark.usefixtures("nothing_is_left")
async def test_the_process_that_forks_is_replaced_too(file: int) -> None:
    async with started() as pool:
        (zygote,), (worker,) = children(), workers()
        os.kill(zygote, signal.SIGKILL)
        await until(lambda: not runs(worker))  # the system ends it too
        assert len(await parts_of(pool, file)) == 1
        assert zygote not in children()


@pytest.mark.usefixtures("nothing_is_left")
async def test_open_videos_do_not_hold_up_others(file: int) -> None:
    async with started(workers=1) as pool:
        waiting = [pool.parts(file, TWO_PARTS) for _ in range(3)]
        for steps in waiting:
            await anext(steps)
        assert len(await parts_of(pool, file)) == 1
        for steps in waiting:
            assert (await anext(steps)).ends_video
            await steps.aclose()
        await until(lambda: len(workers()) == 1)


@pytest.mark.usefixtures("nothing_is_left")
async def test_a_video_has_no_worker_behind_its_last_part(file: int) -> None:
    async with started(workers=1) as pool:
        (worker,) = workers()
        open_videos = [pool.parts(file, OPTIONS) for _ in range(3)]
        for steps in open_videos:
            assert (await anext(steps)).ends_video
        assert (workers(), pool.videos) == ([worker], 3)
        for steps in open_videos:
            await steps.aclose()
        assert pool.videos == 0


@pytest.mark.usefixtures("nothing_is_left")
async def test_a_video_has_no_worker_before_its_first_turn(file: int) -> None:
    async with started("deaf", workers=1) as pool:
        jobs = [asyncio.create_task(parts_of(pool, file)) for _ in range(3)]
        await until(lambda: pool.waiting == 2)
        await asyncio.sleep(0.1)
        assert (len(workers()), pool.videos) == (1, 3)
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)


@pytest.mark.usefixtures("nothing_is_left")
@pytest.mark.parametrize("options", [OPTIONS, TWO_PARTS])
async def test_parts_behind_the_one_that_ended_the_video_come_too(file: int, options: ExtractOptions) -> None:
    expected = list(extract_parts(file, options, limits=MediaLimits())) * 2
    async with started("begins_again") as pool:
        assert [facts(part) for part in await parts_of(pool, file, options)] == [facts(part) for part in expected]


@pytest.mark.usefixtures("nothing_is_left")
async def test_the_end_of_a_video_waits_for_nobody(file: int) -> None:
    async with started("stuck_if_it_has_one_view") as pool:
        steps = pool.parts(file, TWO_PARTS)
        while not (await anext(steps)).ends_video:
            pass
        job = asyncio.create_task(parts_of(pool, file))
        await asyncio.sleep(0.2)  # it has the only turn, for ever
        async with asyncio.timeout(5):
            assert await anext(steps, None) is None
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job


@pytest.mark.usefixtures("nothing_is_left")
async def test_closing_stops_what_runs_and_tells_what_waits(file: int) -> None:
    async with started("deaf") as pool:
        jobs = [asyncio.create_task(parts_of(pool, file)) for _ in range(3)]
        await asyncio.sleep(0.3)
        await asyncio.wait_for(asyncio.to_thread(pool.close), 5)
        for job in jobs:
            with pytest.raises(ShuttingDown):
                await job
        with pytest.raises(ShuttingDown):
            await parts_of(pool, file)


async def test_a_required_filter_that_is_not_there_is_no_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Zygote, "wait_until_ready", lambda _: "the kernel refuses a filter: no")
    with pytest.raises(BadParameter, match="the kernel refuses a filter"):
        async with started(filter="required"):
            pass


async def test_a_decoder_that_cannot_be_imported_is_no_start() -> None:
    with pytest.raises(InternalError, match="cannot be started"):
        async with started("no_such_bug"):
            pass


# What is told of workers -----------------------------------------------------------------------------


@pytest.mark.usefixtures("nothing_is_left")
@pytest.mark.parametrize(
    ("bug", "options", "why"),
    [
        ("segfault", {}, ["crashed", "crashed"]),
        ("talk_nonsense", {}, ["garbled", "garbled"]),
        ("stuck", {"stall_s": 0.3}, ["stalled"]),
        ("eat_memory", {"memory_mib": 256}, ["memory"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_observers_are_told_why_a_worker_is_lost(
    file: int, bug: str, options: dict[str, Any], why: list[str]
) -> None:
    log = StageLog()
    async with started(bug, observer=log, **options) as pool:
        assert (log.started, log.ended, pool.processes) == (1, [], 1)
        with pytest.raises(DecoderCrashed):
            await parts_of(pool, file)
        await until(lambda: log.ended == why)
        assert log.started == len(why)
        await until(lambda: pool.processes == 0)
    assert log.ended == why  # that the server ends is no loss


@pytest.mark.usefixtures("nothing_is_left")
async def test_observers_are_told_of_workers_that_nobody_waits_for(file: int) -> None:
    log = StageLog()
    async with started("deaf", observer=log) as pool:
        job = asyncio.create_task(parts_of(pool, file))
        await asyncio.sleep(0.2)
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job
        await until(lambda: log.ended == ["unwanted"])


@pytest.mark.usefixtures("nothing_is_left")
async def test_observers_are_told_of_workers_that_end_as_they_should(file: int) -> None:
    log = StageLog()
    async with started(observer=log, jobs=2) as pool:
        both = [pool.parts(file, TWO_PARTS) for _ in range(2)]
        for steps in both:
            await anext(steps)
        assert (log.started, pool.processes) == (2, 2)
        for steps in both:
            await steps.aclose()
        await until(lambda: log.ended == ["spare"])
        await parts_of(pool, file)
        assert (log.started, log.ended) == (2, ["spare", "recycled"])


@pytest.mark.usefixtures("nothing_is_left")
async def test_observers_are_told_of_workers_that_die_while_they_wait(file: int) -> None:
    log = StageLog()
    async with started(observer=log) as pool:
        (worker,) = workers()
        os.kill(worker, signal.SIGKILL)
        await until(lambda: pool.processes == 0)
        await parts_of(pool, file)
        assert (log.started, log.ended, pool.processes) == (2, ["crashed"], 1)
