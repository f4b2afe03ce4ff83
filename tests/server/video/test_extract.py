"""The narrow function itself: what goes in, what comes out, how it stops."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from laps_server.errors import ClientClosed, LapsError
from laps_server.video.extract import extract_parts
from laps_server.video.extract_options import ExtractOptions
from laps_server.video.limits import MediaLimits
from laps_server.video.preprocess import crop_box, resize_short_side, thumbnail
from laps_server.view_grid import ViewGrid
from support.numbered_videos import (
    HEIGHT,
    WIDTH,
    cut,
    encode,
    extract,
    extract_options,
    read_number,
    straight,
)

X264 = {"preset": "veryfast", "g": "20", "bf": "3"}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encode(tmp_path_factory.mktemp("clip") / "clip.mp4", "libx264", count=100, options=X264)


def options(**changes: int | bool) -> ExtractOptions:
    values: dict[str, int | bool] = {"frames": 4, "stride": 4, "short_side": 64, "crop_height": 64, "crop_width": 64}
    return ExtractOptions(grid=ViewGrid(2, 3), **{**values, **changes})  # type: ignore[arg-type]


def test_facts_of_the_video(clip: Path) -> None:
    info = extract(clip).info
    assert (info.container, info.codec, info.width, info.height) == ("mp4", "h264", WIDTH, HEIGHT)
    assert (info.fps, info.duration_s, info.frame_count, info.rotation) == (25.0, 4.0, 100, 0)
    assert info.sample_aspect_ratio is None


def test_each_distinct_frame_is_held_once_and_in_order(clip: Path) -> None:
    batch = extract(clip, views="10x3")
    times = [frame.pts for frame in batch.frames]
    assert times == sorted(set(times))
    assert [read_number(pixels) for pixels in batch.pixels] == [frame.index for frame in batch.frames]
    assert batch.clip_frames.shape == (10, 4)


def test_frames_are_resized_before_they_are_kept(clip: Path) -> None:
    batch = extract(clip, views="2x3", side=32)
    assert {pixels.shape for pixels in batch.pixels} == {(32, 48, 3)}
    assert batch.pixels[0].dtype == np.uint8
    assert {pixels.shape for pixels in extract(clip, views="2x1", side=24).pixels} == {(24, 36, 3)}


@pytest.mark.parametrize("size", [(256, 32), (34, 230)], ids=["wide", "tall"])
@pytest.mark.parametrize("side", [32, 24, 48])
def test_crops_and_thumbnails_of_an_elongated_video_are_those_of_its_whole_frames(
    size: tuple[int, int], side: int, tmp_path: Path
) -> None:
    path = encode(tmp_path / "long.mkv", "libx264", count=40, size=size, pix_fmt="yuv444p")
    decoded = straight(path).frames
    extraction = extract(path, views="2x3", side=side, thumbnails="all")
    batch = extraction
    for frame, kept, jpeg in zip(batch.frames, batch.pixels, extraction.thumbnails, strict=True):
        assert frame.index is not None
        assert kept.shape == (3, side, side, 3)
        assert jpeg == thumbnail(resize_short_side(decoded[frame.index], side))
    for view in range(batch.grid.total):
        temporal, spatial = divmod(view, 3)
        numbers = [batch.frames[position].index or 0 for position in batch.clip_frames[temporal]]
        wholes = [resize_short_side(decoded[number], side) for number in numbers]
        boxes = [
            crop_box(*whole.shape[:2], crop_height=side, crop_width=side, position=spatial, count=3) for whole in wholes
        ]
        assert batch.boxes(view) == tuple(boxes)
        expected = [w[b.y : b.y + side, b.x : b.x + side] for w, b in zip(wholes, boxes, strict=True)]
        np.testing.assert_array_equal(batch.clip(view), np.stack(expected))


@pytest.mark.parametrize("size", [(102, 64), (230, 34)], ids=["kept whole", "kept as crops"])
def test_pixels_are_what_the_family_does(size: tuple[int, int], tmp_path: Path) -> None:
    path = encode(tmp_path / "odd.mkv", "libx264", count=20, size=size, pix_fmt="yuv444p")
    wanted = replace(
        extract_options(views="1x3", side=25),
        long_side="round",
        interpolation="bilinear_antialiased",
        crop_order="ends_first",
        crop_offset="down",
    )
    ((segment,), _) = cut(path, "1h", wanted)
    decoded = straight(path).frames
    width = int(size[0] * (25 / size[1]) + 0.5)
    middle = (width - 25) // 2
    for place, start in enumerate((0, 2 * middle, middle)):
        assert {(box.x, box.y) for box in segment.boxes(place)} == {(start, 0)}
        numbers = [segment.frames[position].index or 0 for position in segment.clip_frames[0]]
        pictures = [
            np.asarray(Image.fromarray(decoded[number]).resize((width, 25), Image.Resampling.BILINEAR))
            for number in numbers
        ]
        np.testing.assert_array_equal(segment.clip(place), [picture[:, start : start + 25] for picture in pictures])


def test_the_descriptor_stays_where_it_was(clip: Path) -> None:
    descriptor = os.open(clip, os.O_RDONLY)
    try:
        os.lseek(descriptor, 123, os.SEEK_SET)
        first = list(extract_parts(descriptor, options(), limits=MediaLimits()))
        assert os.lseek(descriptor, 0, os.SEEK_CUR) == 123
        second = list(extract_parts(descriptor, options(), limits=MediaLimits()))
    finally:
        os.close(descriptor)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.pixels, other.pixels)


def test_no_descriptor_is_left_open(clip: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(clip.read_bytes()[:-200])
    before = len(list(Path("/proc/self/fd").iterdir()))
    for path in (clip, broken, clip):
        try:
            extract(path)
        except LapsError:
            continue
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_thumbnails_are_one_jpeg_for_each_frame(clip: Path) -> None:
    assert extract(clip).thumbnails == ()
    extraction = extract(clip, thumbnails="all")
    assert len(extraction.thumbnails) == len(extraction.frames)
    for data, frame in zip(extraction.thumbnails, extraction.frames, strict=True):
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None
        assert read_number(np.asarray(picture, dtype=np.uint8)) == frame.index


@pytest.mark.parametrize("calls", [0, 1, 20, 150])
@pytest.mark.parametrize("name", ["stop.mp4", "stop.avi", "stop.mkv"])
def test_it_stops_when_told(calls: int, name: str, tmp_path: Path) -> None:
    path = encode(tmp_path / name, "libx264", count=200, options=X264)
    asked = 0

    def should_stop() -> bool:
        nonlocal asked
        asked += 1
        return asked > calls

    with pytest.raises(ClientClosed):
        extract(path, should_stop=should_stop)
    assert asked == calls + 1


@pytest.mark.parametrize(
    "wrong",
    [{"frames": 0}, {"stride": 0}, {"crop_height": 65}, {"crop_width": 65}, {"crop_width": 0}],
    ids=str,
)
def test_impossible_options_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"at least 1|does not fit"):
        options(**wrong)


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_change_nothing(threads: int, clip: Path) -> None:
    batch = extract(clip, threads=threads)
    assert [read_number(pixels) for pixels in batch.pixels] == [frame.index for frame in batch.frames]


def test_limits_end_a_walk_and_a_count_with_a_warning(tmp_path: Path) -> None:
    walked = encode(tmp_path / "walked.ts", "libx264", count=100, options=X264)
    extraction = extract(walked, limits=MediaLimits(max_packets=60))
    assert max(frame.index or 0 for frame in extraction.frames) < 60
    assert any("first 60 packets" in warning for warning in extraction.warnings)

    counted = encode(tmp_path / "counted.avi", "libx264", count=100, options={**X264, "b_strategy": "0"})
    extraction = extract(counted, limits=MediaLimits(max_frames=50))
    assert max(frame.index or 0 for frame in extraction.frames) < 50
    assert any("first 50 frames" in warning for warning in extraction.warnings)
