"""What an answer holds beside its ranking: steps, averages of probabilities, doubt, chosen labels, embeddings.

Toy models of each kind, whose logits are mean colours, answer real videos.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from laps_server import results
from laps_server.arrays import Float64Array
from laps_server.classify_options import ClassifyOptions
from laps_server.engines.fake import FakeEngine
from laps_server.errors import BadParameter, NoEmbedding, UnknownLabel
from laps_server.events import Classification, Partial
from laps_server.runtime import build_runtime
from laps_server.scores import clip_logits, probabilities
from laps_server.segment_length import SegmentLength
from laps_server.settings import Settings
from laps_server.view_grid import ViewGrid
from support.bare_runtime import Logits, classify, events_of, fake_runtime, opened, started
from support.model_repositories import LABELS, write_model
from support.plain_videos import BLUE, GREEN, RED, write_colour_video

STEPS = ((0, 1), (2, 3))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    models = tmp_path / "models"
    write_model(models, "colours")
    write_model(models, "steps", kind="per_step", steps=STEPS)
    write_model(models, "averaged", average="probabilities", temperature=0.5)
    write_model(models, "each-alone", average="probabilities", activation="sigmoid", kind="per_clip")
    write_model(models, "vectors", embedding=True)
    return Settings(model_repository=models, threads=1, decode="thread")


@pytest.fixture
def red_then_blue(tmp_path: Path) -> Path:
    return write_colour_video(tmp_path / "red_then_blue.mp4", [RED] * 10 + [BLUE] * 10)


def own_scores(logits: Logits, *, temperature: float = 1.0) -> Float64Array:
    """Of each view of all segments, ``[V, K]``."""
    rows = clip_logits(np.concatenate(logits.of_segments))
    return probabilities(rows, activation="softmax", temperature=temperature)


# Steps -----------------------------------------------------------------------------------------------


async def test_steps_of_all_views_lie_on_the_time_axis_of_the_video(settings: Settings, red_then_blue: Path) -> None:
    async with started(build_runtime(settings)) as runtime:
        sink = Logits()
        options = ClassifyOptions(model="steps", top_k=4, views=ViewGrid(3, 3))
        answer = await classify(runtime, red_then_blue, options, sink=sink)
    assert sink.of_views.shape == (9, 2, 4)
    frames = answer.frames
    assert frames is not None
    assert frames.kind == "step"
    # Clips begin at frames 0, 4 and 8, and have frames 0, 2, 4 and 7 behind that: their steps do not coincide.
    spans = [(row.first.index, row.last.index) for row in frames.rows]
    assert spans == [(0, 2), (4, 6), (4, 7), (8, 10), (8, 11), (12, 15)]
    assert [row.time_s for row in frames.rows] == pytest.approx([0.1, 0.5, 0.55, 0.9, 0.95, 1.35])
    best = [frames.labels[place] for place in frames.scores.argmax(axis=1)]
    assert best[:3] == ["red"] * 3
    assert best[-1] == "blue"


async def test_steps_of_the_same_frames_are_one_row(settings: Settings, tmp_path: Path) -> None:
    short = write_colour_video(tmp_path / "short.mp4", [RED] * 4 + [BLUE] * 4)
    async with started(build_runtime(settings)) as runtime:
        sink = Logits()
        answer = await classify(
            runtime, short, ClassifyOptions(model="steps", top_k=4, views=ViewGrid(4, 3)), sink=sink
        )
    assert answer.frames is not None
    assert len(answer.frames.rows) == 2, "all clips of so short a video are one"
    means = probabilities(sink.of_views.mean(axis=0), activation="softmax", temperature=1.0)
    columns = [item.index for item in answer.predictions]
    np.testing.assert_allclose(answer.frames.scores, means[:, columns], atol=1e-6)


# Averages --------------------------------------------------------------------------------------------


async def test_a_mean_of_probabilities_is_taken_after_the_temperature(settings: Settings, red_then_blue: Path) -> None:
    async with started(build_runtime(settings)) as runtime:
        sink = Logits()
        options = ClassifyOptions(model="averaged", top_k=4, views=ViewGrid(3, 1))
        answer = await classify(runtime, red_then_blue, options, sink=sink)
    expected = own_scores(sink, temperature=0.5).mean(axis=0)
    found = {item.index: item.score for item in answer.predictions}
    assert found == pytest.approx(dict(enumerate(expected)), abs=1e-9)
    of_logits = probabilities(sink.mean, activation="softmax", temperature=0.5)
    assert np.abs(of_logits - expected).max() > 0.01, "the two averages cannot be told apart"


async def test_the_ranking_so_far_is_of_the_same_average(settings: Settings, red_then_blue: Path) -> None:
    async with started(build_runtime(settings)) as runtime:
        with opened(red_then_blue) as file:
            options = ClassifyOptions(model="averaged", views=ViewGrid(3, 1))
            events = [event async for event in events_of(runtime, file, options)]
    partials = [event.predictions for event in events if isinstance(event, Partial)]
    assert len(partials) == 3
    answer = events[-1]
    assert isinstance(answer, Classification)
    assert [item.label for item in partials[-1]] == [item.label for item in answer.predictions]
    for so_far, last in zip(partials[-1], answer.predictions, strict=True):
        assert so_far.score == pytest.approx(last.score, rel=1e-9)


async def test_segments_and_their_timeline_are_of_the_same_average(settings: Settings, red_then_blue: Path) -> None:
    async with started(build_runtime(settings)) as runtime:
        sink = Logits()
        options = ClassifyOptions(model="averaged", top_k=4, views=ViewGrid(2, 1), segments=SegmentLength.parse("1.2s"))
        answer = await classify(runtime, red_then_blue, options, sink=sink)
    assert answer.segments is not None
    assert answer.timeline is not None
    columns = [item.index for item in answer.predictions]
    own = own_scores(sink, temperature=0.5).reshape(2, 2, 4)  # [segment, view, K]
    np.testing.assert_allclose(answer.timeline.scores, own.mean(axis=1)[:, columns], atol=1e-6)
    for segment, scores in zip(answer.segments, own.mean(axis=1), strict=True):
        assert {item.index: item.score for item in segment.predictions} == pytest.approx(dict(enumerate(scores)))
    whole = own.mean(axis=(0, 1))
    assert [item.score for item in answer.predictions] == pytest.approx([whole[column] for column in columns])


async def test_labels_that_are_scored_alone_are_averaged_alone(settings: Settings, red_then_blue: Path) -> None:
    async with started(build_runtime(settings)) as runtime:
        sink = Logits()
        answer = await classify(runtime, red_then_blue, ClassifyOptions(model="each-alone", top_k=4), sink=sink)
    expected = (1 / (1 + np.exp(-sink.of_views.astype(float)))).mean(axis=0)
    assert {item.index: item.score for item in answer.predictions} == pytest.approx(dict(enumerate(expected)))


async def test_rows_over_time_are_averaged_as_probabilities_too(settings: Settings, tmp_path: Path) -> None:
    """A short video whose clips have the same frames: each row is the mean over views of its own probabilities."""
    short = write_colour_video(tmp_path / "short.mp4", [RED] * 3 + [GREEN] * 2 + [BLUE] * 3)
    async with started(build_runtime(settings)) as runtime:
        sink = Logits()
        answer = await classify(
            runtime, short, ClassifyOptions(model="averaged", top_k=4, views=ViewGrid(2, 3)), sink=sink
        )
    assert answer.frames is not None
    expected = probabilities(sink.of_views, activation="softmax", temperature=0.5).mean(axis=0)
    columns = [item.index for item in answer.predictions]
    np.testing.assert_allclose(answer.frames.scores, expected[:, columns], atol=1e-6)


# Doubt -----------------------------------------------------------------------------------------------


async def test_agreement_is_the_share_of_views_that_say_the_same(settings: Settings, tmp_path: Path) -> None:
    video = write_colour_video(tmp_path / "mostly.mp4", [RED] * 16 + [BLUE] * 24)
    async with started(build_runtime(settings)) as runtime:
        sink = Logits()
        answer = await classify(runtime, video, ClassifyOptions(views=ViewGrid(4, 1)), sink=sink)
        alone = await classify(runtime, video, ClassifyOptions(views=ViewGrid(4, 1), top_k=1))
    best = own_scores(sink).argmax(axis=1)
    assert len(set(best.tolist())) == 2, "views must differ for this to mean anything"
    assert answer.agreement == (best == answer.predictions[0].index).mean()
    first, second, *_ = answer.predictions
    assert answer.margin == pytest.approx(first.score - second.score)
    assert (alone.agreement, alone.margin) == (answer.agreement, answer.margin), "however many labels are returned"


async def test_each_segment_and_the_whole_have_their_own_doubt(settings: Settings, red_then_blue: Path) -> None:
    async with started(build_runtime(settings)) as runtime:
        options = ClassifyOptions(views=ViewGrid(2, 1), segments=SegmentLength.parse("1s"))
        answer = await classify(runtime, red_then_blue, options)
    assert answer.segments is not None
    assert [segment.agreement for segment in answer.segments] == [1.0, 1.0]
    assert answer.agreement == 0.5, "red and blue segments together"
    assert min(segment.margin for segment in answer.segments) > 0.9
    assert answer.margin < 0.5


# Labels ----------------------------------------------------------------------------------------------


async def test_chosen_labels_are_ranked_alone_with_the_scores_that_they_have(
    settings: Settings, red_then_blue: Path
) -> None:
    async with started(build_runtime(settings)) as runtime:
        full = await classify(runtime, red_then_blue, ClassifyOptions(top_k=4))
        some = await classify(runtime, red_then_blue, ClassifyOptions(labels=("dark,green",)))
        cut = await classify(
            runtime, red_then_blue, ClassifyOptions(labels=("dark", "green"), segments=SegmentLength.parse("1s"))
        )
    scores = {item.label: item.score for item in full.predictions}
    assert {item.label: item.score for item in some.predictions} == {name: scores[name] for name in ("green", "dark")}
    assert some.frames is not None
    assert set(some.frames.labels) == {"green", "dark"}
    assert some.margin == pytest.approx(abs(scores["green"] - scores["dark"]))
    assert 0 < some.agreement <= 1, "views are asked about the same labels"
    assert cut.timeline is not None
    assert set(cut.timeline.labels) == {"green", "dark"}


async def test_a_ranking_so_far_has_the_chosen_labels_too(settings: Settings, red_then_blue: Path) -> None:
    async with started(build_runtime(settings)) as runtime:
        with opened(red_then_blue) as file:
            options = ClassifyOptions(labels=("blue",))
            events = [event async for event in events_of(runtime, file, options)]
    rankings = [event.predictions for event in events if isinstance(event, Partial)]
    assert {tuple(item.label for item in ranking) for ranking in rankings} == {("blue",)}
    assert isinstance(events[-1], Classification)
    assert events[-1].margin == events[-1].predictions[0].score
    assert events[-1].agreement == 1.0


# Embeddings ------------------------------------------------------------------------------------------


async def test_an_embedding_is_the_mean_over_views_at_length_1(settings: Settings, red_then_blue: Path) -> None:
    async with started(build_runtime(settings)) as runtime:
        options = ClassifyOptions(model="vectors", views=ViewGrid(3, 3), embedding=True)
        answer = await classify(runtime, red_then_blue, options)
        without = await classify(runtime, red_then_blue, ClassifyOptions(model="vectors"))
        halves = await classify(
            runtime,
            red_then_blue,
            ClassifyOptions(model="vectors", segments=SegmentLength.parse("1s"), embedding=True),
        )
    assert answer.embedding is not None
    assert np.linalg.norm(answer.embedding) == pytest.approx(1, abs=1e-6)
    red, green, blue = answer.embedding
    assert red > blue > green, "of 12 frames 7 are red"
    assert without.embedding is None
    assert halves.segments is not None
    first, second = (segment.embedding for segment in halves.segments)
    assert first is not None
    assert second is not None
    assert [int(first.argmax()), int(second.argmax())] == [0, 2]
    assert halves.embedding is not None
    np.testing.assert_allclose(halves.embedding, (first + second) / np.linalg.norm(first + second), atol=0.02)


async def test_an_engine_without_a_graph_gives_embeddings_too(tmp_path: Path, red_then_blue: Path) -> None:
    repository = tmp_path / "only"
    write_model(repository, "vectors", embedding=True)
    engine = FakeEngine(clip_shape=(4, 32, 32, 3), classes=4, embedding_size=3)
    async with started(fake_runtime(repository, engine)) as runtime:
        answer = await classify(runtime, red_then_blue, ClassifyOptions(embedding=True))
    assert answer.embedding is not None
    mean = np.concatenate(engine.batches).mean(axis=(0, 1, 2, 3))
    np.testing.assert_allclose(answer.embedding, mean / np.linalg.norm(mean), atol=1e-5)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        (ClassifyOptions(labels=("rad",)), UnknownLabel, "did you mean red?"),
        (ClassifyOptions(model="colours", embedding=True), NoEmbedding, "models that give one: vectors"),
    ],
)
async def test_what_the_model_does_not_have_is_told_before_the_upload(
    settings: Settings, options: ClassifyOptions, error: type[Exception], said: str
) -> None:
    async with started(build_runtime(settings)) as runtime:
        with pytest.raises(error) as caught, runtime.job(options):
            pass
    assert said in str(getattr(caught.value, "hint", ""))


# Size ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "embedding", "most"),
    [("steps", False, 3328), ("vectors", False, 6144), ("vectors", True, 6276)],
    ids=["rows of steps", "rows of frames", "an embedding"],
)
async def test_a_giant_answer_is_refused_by_the_rows_and_numbers_that_it_has(
    settings: Settings, red_then_blue: Path, monkeypatch: pytest.MonkeyPatch, model: str, embedding: bool, most: int
) -> None:
    """``most`` bytes are enough for two segments of 4 clips with 2 steps or 4 frames each, and one less is not."""
    options = ClassifyOptions(
        model=model, views=ViewGrid(4, 1), segments=SegmentLength.parse("1s"), embedding=embedding, top_k=len(LABELS)
    )
    async with started(build_runtime(settings)) as runtime:
        monkeypatch.setattr(results, "MAX_ANSWER_BYTES", most)
        await classify(runtime, red_then_blue, options)
        monkeypatch.setattr(results, "MAX_ANSWER_BYTES", most - 1)
        with pytest.raises(BadParameter, match="too large"):
            await classify(runtime, red_then_blue, options)
