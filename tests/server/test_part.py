"""What a decode hands over: checked once, never changed, and whole again behind a pickle."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from laps_server.part import MediaWarning, Part, join_pixels
from support.numbered_videos import encode, extract

X264 = {"preset": "veryfast", "g": "20", "bf": "0"}


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Part, ...]:
    path = encode(tmp_path_factory.mktemp("part") / "clip.mp4", "libx264", count=100, options=X264)
    return extract(path, views="5x3", side=32, thumbnails="all").parts


@pytest.fixture
def part(parts: tuple[Part, ...]) -> Part:
    return replace(parts[0], warnings=(MediaWarning("video", "ends early"), MediaWarning("segment", "is short")))


def test_a_video_is_handed_over_clip_by_clip_in_the_plans_order(parts: tuple[Part, ...]) -> None:
    assert [(part.clips, part.views) for part in parts] == [
        (range(1), range(3)),
        (range(1, 5), range(3, 15)),
    ]
    assert [part.begins_segment for part in parts] == [True, False]
    assert [part.ends_segment for part in parts] == [part.ends_video for part in parts] == [False, True]


def test_a_frame_that_two_parts_use_is_in_both(tmp_path: Path) -> None:
    path = encode(tmp_path / "overlapping.mp4", "libx264", count=40, options=X264)
    first, *others = extract(path, views="5x1", frames=8, stride=4).parts
    shared = set(first.places) & {place for part in others for place in part.places}
    assert shared
    for place in shared:
        ours = first.frame_pixels(first.places.index(place))
        for part in others:
            if place in part.places:
                np.testing.assert_array_equal(ours, part.frame_pixels(part.places.index(place)))


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_part_comes_whole_out_of_a_pickle(part: Part, protocol: int) -> None:
    again = pickle.loads(pickle.dumps(part, protocol))
    for field in fields(Part):
        ours, theirs = getattr(part, field.name), getattr(again, field.name)
        if isinstance(ours, np.ndarray):
            np.testing.assert_array_equal(ours, theirs)
        else:
            assert ours == theirs
    assert not again.pixels.flags.writeable
    assert not again.clip_frames.flags.writeable


def test_a_pickle_of_something_else_is_refused(part: Part) -> None:
    make, arguments = part.__reduce__()
    with pytest.raises(ValueError, match="offsets"):
        make(*arguments[:9], part.pixels[:-1], *arguments[10:])


def test_a_part_does_not_change(part: Part) -> None:
    with pytest.raises(ValueError, match="read-only"):
        part.pixels[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        part.frame_pixels(0)[0, 0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        part.clip_frames[0, 0] = 1
    with pytest.raises(FrozenInstanceError):
        part.ordinal = 3  # type: ignore[misc]


WRONG: dict[str, tuple[Callable[[Part], dict[str, Any]], str]] = {
    "a frame without a place": (lambda part: {"places": part.places[:-1]}, "places"),
    "a size too few": (lambda part: {"sizes": part.sizes[:-1]}, "sizes"),
    "no frame": (lambda _: {"frames": (), "places": (), "sizes": (), "offsets": (0,)}, "0 frames"),
    "clips beyond the grid": (lambda _: {"clips": range(5, 6)}, "no clips of 5x3"),
    "clips and rows": (lambda _: {"clips": range(2)}, "does not fit"),
    "a thumbnail too few": (lambda part: {"thumbnails": part.thumbnails[:-1]}, "thumbnails"),
    "another size": (lambda part: {"sizes": ((31, 48), *part.sizes[1:])}, "neither a frame"),
    "pixels in rows": (lambda part: {"pixels": part.pixels.reshape(-1, 3)}, "contiguous bytes"),
    "pixels of another kind": (lambda part: {"pixels": part.pixels.astype(np.float32)}, "contiguous bytes"),
    "a frame that is not there": (lambda part: {"clip_frames": part.clip_frames + len(part.frames)}, "not there"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_does_not_fit_together_is_refused(part: Part, wrong: str) -> None:
    changes, said = WRONG[wrong]
    with pytest.raises(ValueError, match=said):
        replace(part, **changes(part))


def test_pictures_are_joined_into_one_run_of_bytes() -> None:
    pictures = [np.full((2, 3, 3), 7, np.uint8), np.full((1, 1, 3), 9, np.uint8)]
    pixels, offsets = join_pixels(pictures)
    assert offsets == (0, 18, 21)
    assert pixels.tolist() == [7] * 18 + [9] * 3
