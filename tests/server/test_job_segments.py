"""Long videos window by window: the right answers, one segment decoded ahead, and nobody else held up."""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from laps_server import results
from laps_server.arrays import UInt8Array
from laps_server.classify_options import ClassifyOptions
from laps_server.engines.base import InferResult
from laps_server.engines.fake import FakeEngine
from laps_server.errors import BadParameter, DeadlineExceeded, InternalError, Overloaded, ShuttingDown, VideoCorrupt
from laps_server.events import Classification, Decoded, Event, SegmentDone
from laps_server.part import join_pixels
from laps_server.runtime import build_runtime
from laps_server.segment_length import SegmentLength
from laps_server.settings import Settings
from laps_server.video import kept_frames
from laps_server.video.preprocess import needed_pixels
from laps_server.view_grid import ViewGrid
from support.bare_runtime import Logits, classify, events_of, fake_runtime, opened, started
from support.model_repositories import write_model
from support.numbered_videos import encode, ffmpeg, read_number
from support.plain_videos import BLUE, GREEN, RED, write_colour_video

X264 = {"preset": "veryfast", "g": "25", "keyint_min": "25", "sc_threshold": "0", "bf": "0"}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    write_model(tmp_path / "models", "colours")
    write_model(tmp_path / "models", "whole", kind="per_clip")
    return tmp_path / "models"


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine(clip_shape=(4, 32, 32, 3), classes=4)


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Six seconds in which every frame is another."""
    return encode(tmp_path / "film.mkv", "libx264", count=150, options=X264)


def in_segments(text: str, views: str = "2x1", **options: object) -> ClassifyOptions:
    return ClassifyOptions(segments=SegmentLength.parse(text), views=ViewGrid.parse(views), **options)  # type: ignore[arg-type]


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def test_each_segment_is_answered_as_a_file_cut_from_the_video(
    repository: Path, engine: FakeEngine, film: Path, tmp_path: Path
) -> None:
    pattern = tmp_path / "part%d.mkv"
    ffmpeg("-i", film, "-c", "copy", "-f", "segment", "-segment_time", "2", "-reset_timestamps", "1", pattern)
    async with started(fake_runtime(repository, engine)) as runtime:
        whole, logits = Logits(), Logits()
        answer = await classify(runtime, film, in_segments("2s", "3x3", top_k=4), sink=whole)
        parts = [
            await classify(
                runtime, Path(str(pattern) % number), ClassifyOptions(views=ViewGrid(3, 3), top_k=4), sink=logits
            )
            for number in range(3)
        ]
    assert answer.segments is not None
    assert answer.timeline is not None
    for number, (segment, part) in enumerate(zip(answer.segments, parts, strict=True)):
        assert segment.predictions == part.predictions
        assert segment.frames is not None
        assert part.frames is not None
        np.testing.assert_array_equal(segment.frames.scores, part.frames.scores)
        assert [frame.index for frame in segment.sampled] == [(f.index or 0) + 50 * number for f in part.sampled]
        by_label = {item.label: item.score for item in part.predictions}
        row = dict(zip(answer.timeline.labels, answer.timeline.scores[number], strict=True))
        assert row == pytest.approx(by_label, rel=1e-6)
    np.testing.assert_allclose(whole.mean, logits.mean, rtol=1e-5)
    assert answer.views_used == 27
    assert [(segment.start_s, segment.end_s) for segment in answer.segments] == [(0, 2), (2, 4), (4, 6)]


@pytest.mark.parametrize("model", ["colours", "whole"], ids=["per frame", "per clip"])
async def test_one_segment_that_holds_all_is_the_plain_answer(repository: Path, tmp_path: Path, model: str) -> None:
    video = write_colour_video(tmp_path / "clip.mp4", [RED] * 9 + [GREEN] * 6 + [BLUE] * 9)
    async with started(build_runtime(Settings(model_repository=repository, threads=1, decode="thread"))) as runtime:
        plain = await classify(runtime, video, ClassifyOptions(model=model))
        answer = await classify(runtime, video, ClassifyOptions(model=model, segments=SegmentLength.parse("1h")))
    assert answer.segments is not None
    (segment,) = answer.segments
    assert [item.label for item in answer.predictions] == [item.label for item in plain.predictions]
    assert segment.predictions == plain.predictions
    assert (segment.frames is None) == (plain.frames is None)
    if segment.frames is not None and plain.frames is not None:
        np.testing.assert_array_equal(segment.frames.scores, plain.frames.scores)
    assert answer.frames is None
    assert (answer.thumbnails, answer.view_details) == ((), ())


async def test_events_tell_the_video_then_each_segment_then_the_answer(
    repository: Path, engine: FakeEngine, film: Path
) -> None:
    async with started(fake_runtime(repository, engine)) as runtime:
        with opened(film) as descriptor:
            events = [event async for event in events_of(runtime, descriptor, in_segments("2s"))]
    decoded, *done, answer = events
    assert isinstance(decoded, Decoded)
    assert (decoded.views_total, decoded.segments_total) == (6, 3)
    assert isinstance(answer, Classification)
    assert [(item.segments_done, item.segments_total) for item in done if isinstance(item, SegmentDone)] == [
        (1, 3),
        (2, 3),
        (3, 3),
    ]
    assert answer.segments == tuple(item.segment for item in done if isinstance(item, SegmentDone))
    assert answer.times.decode_s > 0
    assert answer.times.queue_s < 60


class SlowEngine(FakeEngine):
    """Slower than any decoder here, so that decoding runs as far ahead as it may."""

    async def infer(self, clips: UInt8Array, *, deadline: float | None = None) -> InferResult:
        await asyncio.sleep(0.1)
        return await super().infer(clips, deadline=deadline)


@pytest.mark.parametrize("kind", [FakeEngine, SlowEngine])
async def test_pictures_of_two_segments_are_alive_and_never_of_three(
    repository: Path, film: Path, monkeypatch: pytest.MonkeyPatch, kind: type[FakeEngine]
) -> None:
    """While one is classified the next is decoded; each has 8 pictures here."""
    held: list[tuple[int, weakref.ref[UInt8Array]]] = []
    alive: list[set[int]] = []

    def note(ordinal: int, pixels: UInt8Array) -> None:
        held.append((ordinal, weakref.ref(pixels)))
        # A thread whose result is out may not have let go of it yet; what is kept on purpose is still there later.
        patience = time.monotonic() + 1
        while len(living := {number for number, pixels in held if pixels() is not None}) > 2:
            if time.monotonic() > patience:
                break
            time.sleep(0.001)
        alive.append(living)

    def kept(frame: UInt8Array, **crops: Any) -> UInt8Array:
        pixels = needed_pixels(frame, **crops)
        note(len(held_pictures) // 8, pixels)
        held_pictures.append(0)
        return pixels

    def put_together(pictures: Sequence[UInt8Array]) -> tuple[UInt8Array, tuple[int, ...]]:
        pixels, offsets = join_pixels(pictures)
        note((len(held_pictures) - 1) // 8, pixels)
        return pixels, offsets

    held_pictures: list[int] = []
    monkeypatch.setattr(kept_frames, "needed_pixels", kept)
    monkeypatch.setattr(kept_frames, "join_pixels", put_together)
    engine = kind(clip_shape=(4, 32, 32, 3), classes=4)
    async with started(fake_runtime(repository, engine)) as runtime:
        answer = await classify(runtime, film, in_segments("1s"))
    assert answer.segments is not None
    assert [len(segment.sampled) for segment in answer.segments] == [8] * 6
    most = max(map(len, alive))
    assert most == 2 if kind is SlowEngine else most <= 2


async def test_one_segment_of_views_waits_at_most(repository: Path, engine: FakeEngine, film: Path) -> None:
    engine.gate.clear()
    async with started(fake_runtime(repository, engine)) as runtime:
        scheduler = runtime.served.versions[0].scheduler
        task = asyncio.create_task(classify(runtime, film, in_segments("1s", "8x3")))
        await engine.running.wait()
        waiting = 24 - len(engine.batches[0])
        async with asyncio.timeout(10):
            while scheduler.queued_views < waiting:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)  # time enough for one more
        assert scheduler.queued_views == waiting
        engine.gate.set()
        await task
    assert sum(len(batch) for batch in engine.batches) == 6 * 24


async def test_a_clip_overtakes_a_film(repository: Path, film: Path, tmp_path: Path) -> None:
    clip = write_colour_video(tmp_path / "clip.mkv", [RED] * 12)
    engine = SlowEngine(clip_shape=(4, 32, 32, 3), classes=4)
    async with started(fake_runtime(repository, engine, decode_workers=1)) as runtime:
        with opened(film) as descriptor:
            async with aclosing(events_of(runtime, descriptor, in_segments("1s", "8x3"))) as events:
                assert isinstance(await anext(events), Decoded)
                assert isinstance(await anext(events), SegmentDone)
                rest: list[Event] = []
                reading = asyncio.create_task(_append(events, rest))
                await classify(runtime, clip, ClassifyOptions(views=ViewGrid(1, 1)))
                before_the_clip = len(rest)
                await reading
    assert len(rest) == 6
    assert before_the_clip < 3


async def test_a_film_that_has_begun_goes_on_where_newcomers_are_refused(
    repository: Path, engine: FakeEngine, film: Path, tmp_path: Path
) -> None:
    clip = write_colour_video(tmp_path / "clip.mkv", [RED] * 12)
    all_views = ClassifyOptions(views=ViewGrid(8, 3))
    async with started(fake_runtime(repository, engine, max_queued_views=24)) as runtime:
        with opened(film) as descriptor:
            async with aclosing(events_of(runtime, descriptor, in_segments("1s", "4x3"))) as events:
                assert isinstance(await anext(events), Decoded)
                assert isinstance(await anext(events), SegmentDone)
                engine.gate.clear()
                engine.running.clear()
                neighbour = asyncio.create_task(classify(runtime, clip, all_views))
                await engine.running.wait()  # with 8 of its views; 16 wait
                with pytest.raises(Overloaded):
                    await classify(runtime, clip, all_views)
                with pytest.raises(Overloaded):
                    await classify(runtime, film, in_segments("1s", "4x3"))
                rest = asyncio.create_task(_rest(events))
                async with asyncio.timeout(10):
                    while runtime.served.versions[0].scheduler.queued_views < 16 + 12 and not rest.done():
                        await asyncio.sleep(0.01)
                engine.gate.set()
                *done, answer = await rest
                await neighbour
    assert [event.segments_done for event in done if isinstance(event, SegmentDone)] == [2, 3, 4, 5, 6]
    assert isinstance(answer, Classification)


async def _rest(events: AsyncGenerator[Event, None]) -> list[Event]:
    return [event async for event in events]


async def _append(events: AsyncGenerator[Event, None], to: list[Event]) -> None:
    async for event in events:
        to.append(event)


# Ending early ---------------------------------------------------------------------------------------


async def test_leaving_between_segments_leaves_nothing_behind(repository: Path, engine: FakeEngine, film: Path) -> None:
    async with started(fake_runtime(repository, engine)) as runtime:
        await classify(runtime, film, in_segments("2s"))
        with opened(film) as descriptor:
            before = open_descriptors()
            async with aclosing(events_of(runtime, descriptor, in_segments("1s"))) as events:
                async for event in events:
                    if isinstance(event, SegmentDone):
                        break
                assert open_descriptors() > before
            assert runtime.served.versions[0].scheduler.queued_views == 0
            async with asyncio.timeout(10):
                while open_descriptors() > before:
                    await asyncio.sleep(0.01)
        ran = len(engine.batches)
        await asyncio.sleep(0.3)
        assert len(engine.batches) == ran


async def test_being_cancelled_while_a_segment_is_classified_empties_the_line(
    repository: Path, engine: FakeEngine, film: Path
) -> None:
    engine.gate.clear()
    async with started(fake_runtime(repository, engine)) as runtime:
        before = open_descriptors()
        task = asyncio.create_task(classify(runtime, film, in_segments("1s", "8x3")))
        await engine.running.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
        assert runtime.served.versions[0].scheduler.queued_views == 0
        async with asyncio.timeout(10):
            while open_descriptors() > before:
                await asyncio.sleep(0.01)
        engine.gate.set()


async def test_a_deadline_ends_it_between_segments_too(repository: Path, film: Path) -> None:
    engine = SlowEngine(clip_shape=(4, 32, 32, 3), classes=4)
    async with started(fake_runtime(repository, engine)) as runtime:
        with pytest.raises(DeadlineExceeded) as late:
            await classify(runtime, film, in_segments("1s", "8x3", deadline=time.monotonic() + 1))
        assert "longer segments" in (late.value.hint or "")
        assert runtime.served.versions[0].scheduler.queued_views == 0


async def test_a_failing_engine_fails_the_request_and_not_the_next(
    repository: Path, engine: FakeEngine, film: Path
) -> None:
    async with started(fake_runtime(repository, engine)) as runtime:
        engine.failure = RuntimeError("no memory")
        with pytest.raises(InternalError):
            await classify(runtime, film, in_segments("1s"))
        engine.failure = None
        assert (await classify(runtime, film, in_segments("1s"))).segments


async def test_a_pool_that_closes_tells_a_video_between_segments(
    repository: Path, engine: FakeEngine, film: Path
) -> None:
    runtime = fake_runtime(repository, engine)
    await runtime.start()
    with opened(film) as descriptor:
        async with aclosing(events_of(runtime, descriptor, in_segments("1s"))) as events:
            assert isinstance(await anext(events), Decoded)
            await runtime.close()
            with pytest.raises(ShuttingDown):
                await anext(events)


# What is refused ------------------------------------------------------------------------------------


async def test_view_details_are_for_whole_videos(repository: Path, engine: FakeEngine) -> None:
    async with started(fake_runtime(repository, engine)) as runtime:
        with pytest.raises(BadParameter) as refused, runtime.job(in_segments("1s", view_details=True)):
            pass
    assert refused.value.hint == "ask for those of one segment's file"


async def test_an_answer_that_would_be_giant_is_refused_before_it_is_worked_for(
    repository: Path, engine: FakeEngine, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "MAX_ANSWER_BYTES", 40_000)
    async with started(fake_runtime(repository, engine)) as runtime:
        with pytest.raises(BadParameter, match="6 segments would be too large"):
            await classify(runtime, film, in_segments("1s", thumbnails=True))
        assert engine.batches == []
        assert (await classify(runtime, film, in_segments("1s"))).segments


async def test_a_segment_has_one_thumbnail_so_that_long_videos_fit_into_an_answer(
    repository: Path, engine: FakeEngine, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "MAX_ANSWER_BYTES", 6 * 8_000)
    async with started(fake_runtime(repository, engine)) as runtime:
        answer = await classify(runtime, film, in_segments("1s", thumbnails=True, frames=False))
    assert answer.segments is not None
    assert answer.thumbnails == ()
    for segment in answer.segments:
        (thumbnail,) = segment.thumbnails
        assert thumbnail.frame == segment.sampled[len(segment.sampled) // 2]
        assert abs(thumbnail.frame.time_s - (segment.start_s + segment.end_s) / 2) < 0.2
        picture = cv2.imdecode(np.frombuffer(thumbnail.jpeg, np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None
        assert read_number(np.asarray(picture, dtype=np.uint8)) == thumbnail.frame.index


async def test_a_file_without_a_frame_is_corrupt(repository: Path, engine: FakeEngine, tmp_path: Path) -> None:
    path = write_colour_video(tmp_path / "clip.mp4", [RED] * 20)
    data = bytearray(path.read_bytes())
    start, stop = data.index(b"mdat") + 4, data.index(b"moov") - 4
    data[start:stop] = bytes(stop - start)
    path.write_bytes(data)
    async with started(fake_runtime(repository, engine)) as runtime:
        with pytest.raises(VideoCorrupt):
            await classify(runtime, path, in_segments("1s"))
