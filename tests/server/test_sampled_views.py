"""Views of videos without a model's answer, as `laps-export quantize` gets them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from laps_server.errors import LapsError
from laps_server.models.manifest import Manifest
from laps_server.models.repository import discover
from laps_server.sampled_views import sample_views, write_views
from laps_server.video.extract import extract_parts
from laps_server.video.limits import MediaLimits
from laps_server.video.preprocess import assemble_clip
from laps_server.view_options import view_options
from support.model_repositories import write_model
from support.plain_videos import BLUE, RED, write_colour_video

Told = list[tuple[str, int, LapsError | None]]


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    """Six views of a whole video, of four frames each."""
    write_model(tmp_path / "models")
    (files,) = discover(tmp_path / "models", versions="all")
    return files.manifest


@pytest.fixture
def videos(tmp_path: Path) -> list[Path]:
    frames = [[RED] * 40, [BLUE] * 40, [RED] * 20 + [BLUE] * 20]
    return [write_colour_video(tmp_path / f"{number}.mp4", colours) for number, colours in enumerate(frames)]


def taken(manifest: Manifest, videos: list[Path], count: int) -> tuple[list[bytes], Told]:
    told: Told = []
    views = sample_views(
        manifest,
        videos,
        count,
        limits=MediaLimits(),
        on_video=lambda video, given, error: told.append((video.stem, given, error)),
    )
    found = []
    for view in views:
        assert view.shape == manifest.clip_shape
        assert view.dtype == np.uint8
        found.append(view.tobytes())
    return found, told


def test_all_views_of_whole_videos_are_those_that_an_engine_would_get(manifest: Manifest, videos: list[Path]) -> None:
    wanted = []
    for video in videos:
        with video.open("rb") as file:
            for part in extract_parts(file.fileno(), view_options(manifest, manifest.grid), limits=MediaLimits()):
                wanted += [assemble_clip(part, view).tobytes() for view in part.views]
    found, told = taken(manifest, videos, manifest.grid.total * len(videos))
    assert sorted(found) == sorted(wanted)
    assert sorted(told) == [(video.stem, manifest.grid.total, None) for video in videos]


def test_every_video_gives_as_many_as_the_others(manifest: Manifest, videos: list[Path]) -> None:
    found, told = taken(manifest, videos, 8)
    assert len(found) == 8
    assert sorted(given for _, given, _ in told) == [2, 3, 3]


def test_the_same_views_are_drawn_again(manifest: Manifest, videos: list[Path]) -> None:
    assert taken(manifest, videos, 5) == taken(manifest, videos, 5)


def test_videos_that_are_no_videos_are_told_and_made_up_for(
    manifest: Manifest, videos: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    found, told = taken(manifest, [*videos, tmp_path / "broken.mp4", tmp_path / "gone.mp4"], 12)
    assert len(found) == 12
    errors = {name: error.code for name, _, error in told if error is not None}
    assert errors == {"broken": "unsupported_container", "gone": "bad_parameter"}


def test_more_views_than_a_whole_video_has_come_from_segments(manifest: Manifest, tmp_path: Path) -> None:
    long = write_colour_video(tmp_path / "long.mp4", [RED] * 110 + [BLUE] * 130)  # 24 seconds: three windows
    found, _ = taken(manifest, [long], 100)
    assert len(found) == 3 * manifest.grid.total
    assert len(set(found)) > 1
    found, _ = taken(manifest, [long], 8)
    assert len(found) == 8


def test_views_are_written_as_one_array(manifest: Manifest, videos: list[Path], tmp_path: Path) -> None:
    views = [np.full(manifest.clip_shape, number, np.uint8) for number in range(12)]
    assert write_views(iter(views), manifest.clip_shape, tmp_path / "views.npy") == 12
    read = np.load(tmp_path / "views.npy", mmap_mode="r")
    assert read.shape == (12, *manifest.clip_shape)
    assert read.dtype == np.uint8
    assert [int(view.min()) for view in read] == [int(view.max()) for view in read] == list(range(12))


def test_no_file_is_left_where_there_was_no_view_or_an_error(manifest: Manifest, tmp_path: Path) -> None:
    def fail() -> np.ndarray:
        raise KeyboardInterrupt

    out = tmp_path / "out"
    out.mkdir()
    assert write_views(iter([]), manifest.clip_shape, out / "views.npy") == 0
    with pytest.raises(KeyboardInterrupt):
        write_views((fail() for _ in range(1)), manifest.clip_shape, out / "views.npy")
    assert list(out.iterdir()) == []
