"""The runtime on real videos with a recording engine, and on real graphs through ``build_runtime``."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

from laps_server.classify_options import ClassifyOptions
from laps_server.engines.fake import FakeEngine
from laps_server.errors import (
    BadParameter,
    DeadlineExceeded,
    InternalError,
    ModelCorrupt,
    ModelNotFound,
    NotReady,
    ShuttingDown,
    UnsupportedContainer,
    VersionNotFound,
)
from laps_server.events import Classification, Decoded, Partial
from laps_server.observe import Batched, Failed, PartDecoded, Queued, Ran, Received, RequestClock, Stage, Waited
from laps_server.part import Part
from laps_server.runtime import Runtime, build_runtime
from laps_server.scores import probabilities
from laps_server.served_models import ServedModels
from laps_server.settings import Settings
from laps_server.video import decode_pool
from laps_server.video.decode_pool import DecodePool
from laps_server.video.extract import extract_parts
from laps_server.view_grid import ViewGrid
from support.bare_runtime import Logits, classify, events_of, fake_model, fake_runtime, opened, started
from support.model_repositories import colour_graph, write_model
from support.numbered_videos import encode, extract, straight
from support.plain_videos import BLUE, GREEN, RED, write_colour_video


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    write_model(tmp_path / "models", "colours")
    write_model(tmp_path / "models", "colours", version=2, untrained=True)
    write_model(tmp_path / "models", "whole", kind="per_clip")
    return tmp_path / "models"


@pytest.fixture
def settings(repository: Path) -> Settings:
    return Settings(model_repository=repository, versions="all", threads=1, decode="thread")


@pytest.fixture
def red_then_blue(tmp_path: Path) -> Path:
    return write_colour_video(tmp_path / "red_then_blue.mp4", [RED] * 10 + [BLUE] * 10)


@pytest.fixture
def green(tmp_path: Path) -> Path:
    return write_colour_video(tmp_path / "green.mkv", [GREEN] * 20)


async def test_a_video_gets_its_colour_and_each_frame_its_own(settings: Settings, red_then_blue: Path) -> None:
    async with started(build_runtime(settings)) as runtime:
        answer = await classify(runtime, red_then_blue, ClassifyOptions(views=ViewGrid(5, 3), top_k=4))
    assert {item.label for item in answer.predictions[:2]} == {"red", "blue"}
    assert answer.frames is not None
    best = answer.frames.scores.argmax(axis=1)
    shown = [(frame.index, answer.frames.labels[place]) for frame, place in zip(answer.frames.rows, best, strict=True)]
    assert all(label == ("red" if index is not None and index < 10 else "blue") for index, label in shown)
    assert len(shown) > 8
    assert answer.views_used == 15
    np.testing.assert_allclose([row.time_s for row in answer.frames.rows], [i / 10 for i, _ in shown if i is not None])


async def test_a_model_is_shown_what_its_manifest_says_of_pixels_and_time(tmp_path: Path) -> None:
    preprocess = {
        **{"short_side": 32, "crop_height": 32, "crop_width": 32, "interpolation": "bilinear_antialiased"},
        **{"mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]},
        **{"long_side": "round", "crop_order": "centre_first", "crop_offset": "down"},
    }
    write_model(tmp_path / "models", schema_version=2, preprocess=preprocess, sampling="tokshift")
    path = encode(tmp_path / "video.mkv", "libx264", count=30, size=(102, 64), pix_fmt="yuv444p")
    engine = FakeEngine(clip_shape=(4, 32, 32, 3), classes=4)
    async with started(fake_runtime(tmp_path / "models", engine)) as runtime:
        await classify(runtime, path, ClassifyOptions(views=ViewGrid(3, 3)))
    clips = np.concatenate(engine.batches)
    shown = [
        np.asarray(Image.fromarray(frame).resize((51, 32), Image.Resampling.BILINEAR))
        for frame in straight(path).frames
    ]
    numbers = [[(start + i * 2) % 30 for i in range(4)] for start in (0, 10, 20)]
    expected = [[shown[i][:, x : x + 32] for i in clip] for clip in numbers for x in (9, 0, 18)]
    np.testing.assert_array_equal(clips, expected)


async def test_views_of_concurrent_requests_share_a_call_and_answers_stay_their_own(
    repository: Path, red_then_blue: Path, green: Path
) -> None:
    engine = FakeEngine(clip_shape=(4, 32, 32, 3), classes=4)
    async with started(fake_runtime(repository, engine)) as runtime:
        sinks = [Logits() for _ in range(4)]
        alone = [await classify(runtime, red_then_blue, sink=sinks[0]), await classify(runtime, green, sink=sinks[1])]
        engine.batches.clear()
        engine.running.clear()
        engine.gate.clear()
        first = asyncio.create_task(classify(runtime, green, ClassifyOptions(views=ViewGrid(1, 1))))
        await engine.running.wait()
        pending = [
            asyncio.create_task(classify(runtime, path, sink=sink))
            for path, sink in zip((red_then_blue, green), sinks[2:], strict=True)
        ]
        scheduler = runtime.served.versions[0].scheduler
        while scheduler.queued_views < 12:
            await asyncio.sleep(0.01)
        engine.gate.set()
        together = await asyncio.gather(*pending)
        await first
    shared = engine.batches[1]
    is_green = [bool(clip[0, 0, 0, 1] > 128) for clip in shared]
    assert len(shared) == 8
    assert any(is_green)
    assert not all(is_green)
    for single, batched in zip(alone, together, strict=True):
        assert single.predictions == batched.predictions
    for single_sink, batched_sink in zip(sinks[:2], sinks[2:], strict=True):
        np.testing.assert_array_equal(single_sink.of_views, batched_sink.of_views)


async def test_events_tell_the_video_then_each_view_then_the_answer(settings: Settings, green: Path) -> None:
    async with started(build_runtime(settings)) as runtime:
        with opened(green) as descriptor:
            events = [event async for event in events_of(runtime, descriptor, ClassifyOptions(views=ViewGrid(2, 1)))]
    assert [type(event) for event in events] == [Decoded, Partial, Partial, Classification]
    decoded, first, second, answer = events
    assert isinstance(decoded, Decoded)
    assert isinstance(first, Partial)
    assert isinstance(second, Partial)
    assert isinstance(answer, Classification)
    assert (decoded.views_total, first.views_done, second.views_done) == (2, 1, 2)
    assert [item.label for item in second.predictions] == [item.label for item in answer.predictions]
    np.testing.assert_allclose(
        [item.score for item in second.predictions], [item.score for item in answer.predictions], rtol=1e-6
    )


def hold_behind_the_first_part(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Decoders go on behind a video's first Part when the event is set."""
    go_on = threading.Event()
    original = extract_parts

    def held(*args: Any, **kwargs: Any) -> Generator[Part, None, None]:
        parts = original(*args, **kwargs)
        yield next(parts)
        assert go_on.wait(10), "the first views waited for the last ones"
        yield from parts

    monkeypatch.setattr(decode_pool, "extract_parts", held)
    return go_on


async def test_a_video_that_turns_out_otherwise_begins_once_more(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Damage behind the first clip: views of clips that were chosen by the index are void, and sent again."""
    path = encode(tmp_path / "hole.mp4", "mpeg4", count=500, options={"g": "25", "b": "400k"})
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + len(data) * 4 // 10
    data[start : start + len(data) // 5] = b"\xff" * (len(data) // 5)
    path.write_bytes(data)
    sampled = extract(path, views="8x1", frames=4, stride=2).frames
    engine = FakeEngine(clip_shape=(4, 32, 32, 3), classes=4)
    ran = hold_behind_the_first_part(monkeypatch)
    events = []
    async with started(fake_runtime(repository, engine)) as runtime:
        with opened(path) as descriptor:
            async for event in events_of(runtime, descriptor, ClassifyOptions(views=ViewGrid(8, 1))):
                events.append(event)
                if isinstance(event, Partial):
                    ran.set()
    decoded, *partials, answer = events
    assert isinstance(decoded, Decoded)
    assert isinstance(answer, Classification)
    done = [event.views_done for event in partials if isinstance(event, Partial)]
    assert done[-8:] == list(range(1, 9))
    assert len(done) > 8, "nothing began once more"
    assert answer.views_used == 8
    assert any("could not be decoded" in warning for warning in answer.warnings)
    assert [frame.index for frame in answer.sampled] == [frame.index for frame in sampled]


async def test_leaving_the_events_early_empties_the_queue(repository: Path, green: Path) -> None:
    engine = FakeEngine(clip_shape=(4, 32, 32, 3), classes=4)
    engine.gate.clear()
    async with started(fake_runtime(repository, engine)) as runtime:
        task = asyncio.create_task(classify(runtime, green, ClassifyOptions(views=ViewGrid(10, 3))))
        await engine.running.wait()
        ran = len(engine.batches[0])
        async with asyncio.timeout(10):
            while runtime.served.versions[0].scheduler.queued_views < 30 - ran:
                await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert runtime.served.versions[0].scheduler.queued_views == 0
        engine.gate.set()


async def test_a_deadline_ends_a_request_that_waits(repository: Path, green: Path) -> None:
    engine = FakeEngine(clip_shape=(4, 32, 32, 3), classes=4)
    engine.gate.clear()
    async with started(fake_runtime(repository, engine)) as runtime:
        with pytest.raises(DeadlineExceeded):
            await classify(runtime, green, ClassifyOptions(deadline=time.monotonic() + 0.3))
        assert runtime.served.versions[0].scheduler.queued_views == 0
        engine.gate.set()


async def test_the_highest_version_answers_and_says_that_it_is_untrained(settings: Settings, green: Path) -> None:
    async with started(build_runtime(settings)) as runtime:
        newest = await classify(runtime, green)
        first = await classify(runtime, green, ClassifyOptions(version=1))
    assert (newest.version, first.version) == (2, 1)
    assert any("untrained" in warning for warning in newest.warnings)
    assert not any("untrained" in warning for warning in first.warnings)


async def test_a_model_of_clip_logits_gives_a_row_for_each_clip(settings: Settings, red_then_blue: Path) -> None:
    async with started(build_runtime(settings)) as runtime:
        sink = Logits()
        options = ClassifyOptions(model="whole", top_k=4, views=ViewGrid(3, 3))
        answer = await classify(runtime, red_then_blue, options, sink=sink)
    assert sink.of_views.shape == (9, 4)
    frames = answer.frames
    assert frames is not None
    assert frames.kind == "clip"
    spans = [(row.first.time_s, row.last.time_s) for row in frames.rows]
    np.testing.assert_allclose(spans, [(0.0, 0.7), (0.4, 1.1), (0.8, 1.5)])
    assert [row.index for row in frames.rows] == [None] * 3
    assert [row.time_s for row in frames.rows] == pytest.approx([0.35, 0.75, 1.15])
    # Crops of a clip are averaged, and nothing else is.
    columns = [item.index for item in answer.predictions]
    by_clip = probabilities(sink.of_views.reshape(3, 3, 4).mean(axis=1), activation="softmax", temperature=1.0)
    np.testing.assert_allclose(frames.scores, by_clip[:, columns], atol=1e-6)


async def test_view_details_name_every_frame_and_box(settings: Settings, green: Path) -> None:
    async with started(build_runtime(settings)) as runtime:
        answer = await classify(runtime, green, ClassifyOptions(view_details=True, thumbnails=True))
    assert [(view.temporal, view.spatial) for view in answer.view_details] == [
        (t, s) for t in (0, 1) for s in (0, 1, 2)
    ]
    # 64 x 48 becomes 42 x 32: left, centre and right crops of 32.
    assert [view.boxes[0].x for view in answer.view_details[:3]] == [0, 5, 10]
    assert {len(view.frames) for view in answer.view_details} == {4}
    assert all(item.jpeg.startswith(b"\xff\xd8") for item in answer.thumbnails)
    assert len(answer.thumbnails) == len(answer.sampled)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        (ClassifyOptions(model="none"), ModelNotFound, "served models: colours, whole"),
        (ClassifyOptions(version=7), VersionNotFound, "served versions: 1, 2"),
        (ClassifyOptions(top_k=5), BadParameter, "1 to 4"),
        (ClassifyOptions(top_k=0), BadParameter, "1 to 4"),
    ],
)
async def test_wrong_options_say_what_is_right(
    settings: Settings, options: ClassifyOptions, error: type[BadParameter], said: str
) -> None:
    async with started(build_runtime(settings)) as runtime:
        with pytest.raises(error) as caught:
            runtime.served.resolve(options)
    assert said in (caught.value.hint or "")


async def test_a_file_that_is_no_video_is_told_and_the_next_one_works(
    settings: Settings, tmp_path: Path, green: Path
) -> None:
    (tmp_path / "text.mp4").write_text("hello " * 100)
    async with started(build_runtime(settings)) as runtime:
        with pytest.raises(UnsupportedContainer):
            await classify(runtime, tmp_path / "text.mp4")
        assert (await classify(runtime, green)).predictions[0].label == "green"


async def test_the_setting_of_codecs_decides_what_is_decoded(settings: Settings, tmp_path: Path) -> None:
    path = encode(tmp_path / "old.wmv", "wmv2", count=20)
    async with started(build_runtime(settings)) as runtime:
        with pytest.raises(UnsupportedContainer, match="asf"):
            await classify(runtime, path)
    async with started(build_runtime(settings.model_copy(update={"codecs": "wide"}))) as runtime:
        assert (await classify(runtime, path)).video.codec == "wmv2"


async def test_nothing_is_taken_before_start_or_after_drain(settings: Settings, green: Path) -> None:
    runtime = build_runtime(settings)
    assert runtime.not_ready_reason == "models are loading"
    with pytest.raises(NotReady):
        await classify(runtime, green)
    async with started(runtime):
        runtime.drain()
        assert runtime.not_ready_reason == "shutting down"
        with pytest.raises(ShuttingDown):
            runtime.admit()
        assert (await classify(runtime, green)).predictions, "what was admitted before is finished"


async def test_a_graph_that_is_not_what_its_manifest_says_fails_the_start(tmp_path: Path) -> None:
    write_model(tmp_path, "odd", graph=colour_graph(frames=8, size=32, classes=4))
    runtime = build_runtime(Settings(model_repository=tmp_path, threads=1, decode="thread"))
    with pytest.raises(ModelCorrupt, match="no input 'clips'"):
        await runtime.start()
    assert runtime.not_ready_reason == "models cannot be served"
    await runtime.close()


@pytest.mark.parametrize(
    ("graph", "wanted"),
    [
        (colour_graph(frames=4, size=32, classes=4), r"no output 'embedding' of tensor\(float\) \[B, 3\]"),
        (
            colour_graph(frames=4, size=32, classes=4, kind="per_clip", embedding=True),
            r"no output 'frame_logits' of tensor\(float\) \[B, 4, 4\]",
        ),
    ],
    ids=["no embedding", "another kind"],
)
async def test_each_output_that_the_manifest_names_must_be_there(
    tmp_path: Path, graph: onnx.ModelProto, wanted: str
) -> None:
    write_model(tmp_path, "odd", graph=graph, embedding=True)
    runtime = build_runtime(Settings(model_repository=tmp_path, threads=1, decode="thread"))
    with pytest.raises(ModelCorrupt, match=wanted):
        await runtime.start()
    await runtime.close()


async def test_decoding_leaves_no_descriptor_behind(settings: Settings, green: Path, tmp_path: Path) -> None:
    (tmp_path / "noise.mp4").write_bytes(os.urandom(4096))
    async with started(build_runtime(settings)) as runtime:
        await classify(runtime, green)
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - counts, names are of no interest
        for _ in range(3):
            await classify(runtime, green)
            with pytest.raises(UnsupportedContainer):
                await classify(runtime, tmp_path / "noise.mp4")
        assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


async def test_stages_are_told_with_their_times_and_the_answer_has_them(repository: Path, green: Path) -> None:
    reported: list[Stage] = []

    class Reporter:
        def observe(self, stage: Stage) -> None:
            reported.append(stage)

    engine = FakeEngine(clip_shape=(4, 32, 32, 3), classes=4)
    reporter = Reporter()
    served = ServedModels([fake_model(repository, engine, observer=reporter)], default_model=None)
    async with started(Runtime(served, DecodePool(1), observer=reporter)) as runtime:
        with runtime.job(ClassifyOptions(views=ViewGrid(2, 1)), RequestClock("one")) as job, opened(green) as file:
            job.received(123)
            answer = await job.classify(file)
        names = [type(stage).__name__ for stage in reported]
        assert names[:3] == ["Received", "Waited", "PartDecoded"]
        assert names[-1] == "Answered"
        assert set(names) == {"Received", "Waited", "PartDecoded", "Batched", "Queued", "Ran", "Answered"}
        assert {stage.request_id for stage in reported if isinstance(stage, Received | PartDecoded | Queued)} == {"one"}
        assert {rid for stage in reported if isinstance(stage, Batched | Ran) for rid in stage.request_ids} == {"one"}
        decoded_s = sum(stage.seconds for stage in reported if isinstance(stage, Waited | PartDecoded))
        assert answer.times.decode_s == pytest.approx(decoded_s)
        ran_s = sum(stage.seconds for stage in reported if isinstance(stage, Batched | Ran))
        assert answer.times.infer_s == pytest.approx(ran_s)
        assert answer.times.upload_s == next(stage.seconds for stage in reported if isinstance(stage, Received))
        reported.clear()
        engine.failure = RuntimeError("no memory")
        with pytest.raises(InternalError):
            await classify(runtime, green)
        assert [stage.code for stage in reported if isinstance(stage, Failed)] == ["internal"]
        reported.clear()
        engine.failure = None
        engine.running.clear()
        engine.gate.clear()
        task = asyncio.create_task(classify(runtime, green))
        await engine.running.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        engine.gate.set()
        assert [stage.code for stage in reported if isinstance(stage, Failed)] == ["client_closed"]


async def test_the_first_views_run_while_later_ones_are_decoded(
    repository: Path, green: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The decoder is held behind the first Part until its views are answered: it cannot have been waited for."""
    engine = FakeEngine(clip_shape=(4, 32, 32, 3), classes=4)
    ran = hold_behind_the_first_part(monkeypatch)
    async with started(fake_runtime(repository, engine)) as runtime:
        with opened(green) as descriptor:
            async for event in events_of(runtime, descriptor, ClassifyOptions(views=ViewGrid(5, 1))):
                if isinstance(event, Partial):
                    ran.set()
    assert isinstance(event, Classification)
    assert event.views_used == 5
