"""An actor of a batch job without Ray: batches of names to rows, and the files that rows go to."""

from __future__ import annotations

import threading
from pathlib import Path

import pyarrow as pa
import pytest

from laps_server.classify_options import ClassifyOptions
from laps_server.scale.batch import ActorPool
from laps_server.scale.batch_rows import SCHEMA
from laps_server.scale.classifier import MAX_ATTEMPTS, Classifier, WritingClassifier, videos_in_flight
from laps_server.scale.row_files import RowFiles
from laps_server.segment_length import SegmentLength
from laps_server.settings import Settings
from laps_server.view_grid import MAX_VIEWS
from support.model_repositories import write_model
from support.plain_videos import BLUE, GREEN, RED, write_colour_video


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    write_model(tmp_path / "models", "colours", embedding=True)
    return Settings(model_repository=tmp_path / "models", threads=1, decode_workers=1, decode="thread")


@pytest.fixture
def videos(tmp_path: Path) -> list[str]:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    return [
        str(write_colour_video(tmp_path / "red.mp4", [RED] * 12)),
        str(broken),
        str(tmp_path / "gone.mp4"),
        str(write_colour_video(tmp_path / "film.mp4", [GREEN] * 10 + [BLUE] * 10)),
    ]


def named(videos: list[str]) -> pa.Table:
    return pa.table({"path": videos})


@pytest.mark.parametrize("cores", [1, 2, 15])
def test_every_decoder_of_an_actor_has_a_video_and_one_waits_for_the_engine(cores: int) -> None:
    settings = ActorPool(cpus=cores).settings(Settings(model_repository="models"))
    assert settings.decode_workers == cores
    in_flight = videos_in_flight(settings)
    assert in_flight >= max(4, 2 * cores)
    assert settings.max_queued_views >= in_flight * MAX_VIEWS  # none is refused


def test_each_video_is_a_row_whatever_it_is(settings: Settings, videos: list[str]) -> None:
    classifier = Classifier(settings, None, ClassifyOptions(frames=True, embedding=True), "path")
    try:
        table = classifier(named(videos))
    finally:
        classifier.close()
    assert table.schema == SCHEMA
    red, broken, gone, film = table.to_pylist()
    assert [row["path"] for row in (red, broken, gone, film)] == videos
    assert (red["predictions"][0]["label"], red["model"], red["error_code"]) == ("red", "colours", None)
    assert len(red["embedding"]) == 3
    assert len(red["frames"]["scores"]) == len(red["frames"]["time_s"])
    assert (broken["error_code"], broken["predictions"]) == ("unsupported_container", None)
    assert (gone["error_code"], gone["error_message"]) == ("bad_parameter", "cannot be read: No such file or directory")


def test_with_segments_there_is_a_row_for_each(settings: Settings, videos: list[str]) -> None:
    options = ClassifyOptions(segments=SegmentLength.parse("1s"))
    classifier = Classifier(settings, None, options, "path")
    try:
        rows = classifier(named(videos[3:])).to_pylist()
    finally:
        classifier.close()
    assert [(row["segment"], row["segments"], row["start_s"], row["end_s"]) for row in rows] == [
        (0, 2, 0.0, 1.0),
        (1, 2, 1.0, 2.0),
    ]
    assert [row["predictions"][0]["label"] for row in rows] == ["green", "blue"]


def test_rows_are_written_before_anybody_is_told(settings: Settings, videos: list[str], tmp_path: Path) -> None:
    files = RowFiles(str(tmp_path / "rows")).begin({})
    classifier = WritingClassifier(settings, None, ClassifyOptions(), "path", files)
    try:
        told = classifier(named(videos)).to_pylist()
        given_up = [videos[0], videos[3]]
        for _ in range(MAX_ATTEMPTS):
            files.attempt(given_up)
            files.attempt(given_up[:1])
        assert classifier(named(given_up)).num_rows == 0, "it is tried once more, each video by itself"
        (alone,) = classifier(named(given_up[:1])).to_pylist()
    finally:
        classifier.close()
    assert [(row["rows"], row["error_code"]) for row in told] == [
        (1, None),
        (1, "unsupported_container"),
        (1, "bad_parameter"),
        (1, None),
    ]
    assert (alone["error_code"], alone["rows"]) == ("internal", 1)
    assert sorted(row["path"] for row in files.rows()) == sorted([*videos, videos[0]])


def test_it_ends_with_its_last_reference(settings: Settings) -> None:
    before = set(threading.enumerate())
    classifier = Classifier(settings, None, ClassifyOptions(), "path")
    assert {thread.name for thread in set(threading.enumerate()) - before} >= {"pipeline"}
    del classifier
    assert {thread.name for thread in set(threading.enumerate()) - before}.isdisjoint({"pipeline", "infer_0"})
