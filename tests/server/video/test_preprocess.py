"""Resize, crops and clips on plain arrays."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import ceil, floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from laps_server.arrays import UInt8Array
from laps_server.part import Part, Segment, join_pixels
from laps_server.preprocess_rules import CropOrder
from laps_server.sampled_frame import CropBox, SampledFrame
from laps_server.video.preprocess import (
    assemble_clip,
    crop_box,
    needed_pixels,
    resize_short_side,
    resized_size,
    view_boxes,
)
from laps_server.video_info import VideoInfo
from laps_server.view_grid import ViewGrid

SIZES = st.integers(1, 600)


def noise(height: int, width: int) -> UInt8Array:
    return np.random.default_rng(height * width).integers(0, 256, (height, width, 3), dtype=np.uint8)


def bilinear(picture: UInt8Array, height: int, width: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Half-pixel bilinear without antialiasing, written out."""

    def taps(size: int, new: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        at = (np.arange(new) + 0.5) * size / new - 0.5
        low = np.floor(at).astype(int)
        return np.clip(low, 0, size - 1), np.clip(low + 1, 0, size - 1), at - low

    y0, y1, fy = taps(picture.shape[0], height)
    x0, x1, fx = taps(picture.shape[1], width)
    rows = picture[y0] * (1 - fy)[:, None, None] + picture[y1] * fy[:, None, None]
    return np.asarray(rows[:, x0] * (1 - fx)[:, None] + rows[:, x1] * fx[:, None], dtype=np.float64)


def crop(height: int, width: int, crop_height: int, crop_width: int, position: int, count: int) -> CropBox:
    return crop_box(height, width, crop_height=crop_height, crop_width=crop_width, position=position, count=count)


@pytest.mark.parametrize(("height", "width"), [(256, 340), (144, 176), (272, 640), (720, 1280), (340, 256), (31, 77)])
def test_resize_is_half_pixel_bilinear_without_antialiasing(height: int, width: int) -> None:
    picture = noise(height, width)
    resized = resize_short_side(picture, 224)
    assert min(resized.shape[:2]) == 224
    error = resized - bilinear(picture, *resized.shape[:2])
    # OpenCV's weights have 8 bits: on noise, the worst case, that is another level at most.
    assert np.abs(error).max() < 1.5
    assert np.abs(error).mean() < 0.3  # rounding alone gives a quarter
    assert abs(error.mean()) < 0.02


def test_a_picture_of_the_right_size_is_left_alone() -> None:
    picture = noise(224, 300)
    assert resize_short_side(picture, 224) is picture


@given(SIZES, SIZES, st.integers(1, 400))
def test_the_long_side_is_rounded_down(height: int, width: int, short_side: int) -> None:
    new_height, new_width = resized_size(height, width, short_side)
    assert min(new_height, new_width) == short_side
    assert max(new_height, new_width) == floor(max(height, width) / min(height, width) * short_side)


@given(SIZES, SIZES, st.integers(1, 400))
def test_the_long_side_may_be_rounded_to_the_nearest(height: int, width: int, short_side: int) -> None:
    new_height, new_width = resized_size(height, width, short_side, "round")
    long, short = max(height, width), min(height, width)
    assert min(new_height, new_width) == short_side
    assert abs(max(new_height, new_width) - Fraction(long * short_side, short)) <= Fraction(1, 2) + Fraction(1, 10**9)


def test_a_half_pixel_is_rounded_up_or_down_by_name() -> None:
    assert resized_size(64, 101, 32, "floor") == (32, 50)
    assert resized_size(64, 101, 32, "round") == (32, 51)
    assert resized_size(101, 64, 32, "round") == (51, 32)
    assert resize_short_side(noise(64, 101), 32, long_side="round").shape == (32, 51, 3)


def antialiased(picture: UInt8Array, height: int, width: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """A triangle filter that is as wide as the picture shrinks, written out."""

    def weights(size: int, new: int) -> np.ndarray:
        scale = max(size / new, 1.0)
        centres = (np.arange(new)[:, None] + 0.5) * size / new
        triangle = np.clip(1 - np.abs(np.arange(size)[None] + 0.5 - centres) / scale, 0, None)
        return np.asarray(triangle / triangle.sum(axis=1, keepdims=True))  # [new, size]

    rows = np.tensordot(weights(picture.shape[0], height), picture.astype(np.float64), axes=(1, 0))
    return np.asarray(np.einsum("wx,hxc->hwc", weights(picture.shape[1], width), rows), dtype=np.float64)


@pytest.mark.parametrize(("height", "width"), [(256, 340), (272, 640), (720, 1280), (340, 256), (31, 77)])
def test_an_antialiased_resize_is_a_filter_as_wide_as_the_picture_shrinks(height: int, width: int) -> None:
    picture = noise(height, width)
    resized = resize_short_side(picture, 224, interpolation="bilinear_antialiased")
    error = resized - antialiased(picture, *resized.shape[:2])
    assert resized.shape == resize_short_side(picture, 224).shape
    # Pillow rounds to 8 bits after each of two passes.
    assert np.abs(error).max() < 1.5
    assert abs(error.mean()) < 0.05


def test_an_antialiased_resize_leaves_the_right_size_alone_and_its_result_can_be_written() -> None:
    picture = noise(224, 300)
    assert resize_short_side(picture, 224, interpolation="bilinear_antialiased") is picture
    assert resize_short_side(picture, 100, interpolation="bilinear_antialiased").flags.writeable


def test_three_crops_lie_along_the_longer_side() -> None:
    assert [crop(224, 301, 224, 224, i, 3).x for i in range(3)] == [0, 39, 77]
    assert [crop(301, 224, 224, 224, i, 3).y for i in range(3)] == [0, 39, 77]
    assert [crop(224, 224, 224, 224, i, 3) for i in range(3)] == [CropBox(0, 0, 224, 224)] * 3


@pytest.mark.parametrize(
    ("order", "places"), [("along", [0, 39, 77]), ("centre_first", [39, 0, 77]), ("ends_first", [0, 77, 39])]
)
def test_a_family_numbers_its_crops(order: CropOrder, places: list[int]) -> None:
    crops = [crop_box(224, 301, crop_height=224, crop_width=224, position=i, count=3, order=order) for i in range(3)]
    assert [box.x for box in crops] == places
    tall = [crop_box(301, 224, crop_height=224, crop_width=224, position=i, count=3, order=order) for i in range(3)]
    assert [box.y for box in tall] == places
    only = crop_box(224, 301, crop_height=224, crop_width=224, position=0, count=1, order=order)
    assert (only.x, only.y) == (39, 0)


@pytest.mark.parametrize(("width", "offsets"), [(301, [0, 38, 76]), (300, [0, 38, 76]), (224, [0, 0, 0])])
def test_a_centre_that_is_rounded_down_takes_the_last_crop_along(width: int, offsets: list[int]) -> None:
    crops = [
        crop_box(224, width, crop_height=224, crop_width=224, position=i, count=3, offset="down") for i in range(3)
    ]
    assert [box.x for box in crops] == offsets
    only = crop_box(227, width, crop_height=224, crop_width=224, position=0, count=1, offset="down")
    assert (only.x, only.y) == (offsets[1], 1)


@given(st.integers(1, 500), st.integers(1, 500), st.data())
def test_crops_stay_inside_and_centres_round_up(height: int, width: int, data: st.DataObject) -> None:
    crop_height, crop_width = data.draw(st.integers(1, height)), data.draw(st.integers(1, width))
    count = data.draw(st.sampled_from([1, 3]))
    boxes = [crop(height, width, crop_height, crop_width, i, count) for i in range(count)]
    for box in boxes:
        assert 0 <= box.x <= width - crop_width
        assert 0 <= box.y <= height - crop_height
    middle = boxes[count // 2]
    assert (middle.x, middle.y) == (ceil((width - crop_width) / 2), ceil((height - crop_height) / 2))


@pytest.mark.parametrize(
    "wrong", [(10, 10, 11, 5, 0, 1), (10, 10, 5, 11, 0, 1), (10, 10, 5, 5, 1, 1), (9, 9, 5, 5, 0, 2)]
)
def test_impossible_crops_are_refused(wrong: tuple[int, int, int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="crop"):
        crop(*wrong)


def part_of(*pictures: UInt8Array, grid: str = "2x3", side: int = 8) -> Part:
    kept = [
        needed_pixels(picture, crop_height=side, crop_width=side, count=ViewGrid.parse(grid).spatial)
        for picture in pictures
    ]
    pixels, offsets = join_pixels(kept)
    return Part(
        segment=Segment(0, 0.0, 1.0, range(len(pictures))),
        ordinal=0,
        segments_total=1,
        video=VideoInfo("mp4", "h264", 8, 8, 10.0, 1.0, len(pictures), 0, None, 0),
        clips=range(2),
        places=tuple(range(len(pictures))),
        offsets=offsets,
        grid=ViewGrid.parse(grid),
        frames=tuple(SampledFrame(index=i, pts=i * 10, time_s=float(i)) for i in range(len(pictures))),
        sizes=tuple((picture.shape[0], picture.shape[1]) for picture in pictures),
        pixels=pixels,
        clip_frames=np.array([[0, 1], [1, 0]], dtype=np.intp),
        crop_height=side,
        crop_width=side,
    )


def test_a_clip_gathers_its_frames_and_crops_them() -> None:
    left, right = noise(8, 13), noise(8, 12)
    part = part_of(left, right)
    clip = assemble_clip(part, 4)  # second temporal view, centre
    np.testing.assert_array_equal(clip[0], right[:, 2:10])
    np.testing.assert_array_equal(clip[1], left[:, 3:11])
    assert view_boxes(part, 4) == (CropBox(2, 0, 8, 8), CropBox(3, 0, 8, 8))


@pytest.mark.parametrize("grid", ["2x1", "2x3"])
@pytest.mark.parametrize("shape", [(8, 25), (8, 200), (201, 8), (9, 77), (24, 8), (8, 24), (8, 8)], ids=str)
def test_crops_are_the_same_whether_a_frame_was_kept_whole_or_not(grid: str, shape: tuple[int, int]) -> None:
    picture = noise(*shape)
    part = part_of(picture, picture, grid=grid)
    assert all(pixels.nbytes <= 3 * 8 * 8 * 3 for pixels in map(part.frame_pixels, range(2)))
    for view in range(part.grid.total):
        box = crop(*shape, 8, 8, view % part.grid.spatial, part.grid.spatial)
        assert view_boxes(part, view) == (box, box)
        expected = picture[box.y : box.y + box.height, box.x : box.x + box.width]
        np.testing.assert_array_equal(assemble_clip(part, view), np.stack([expected, expected]))


@pytest.mark.parametrize("shape", [(8, 25), (8, 200), (201, 8), (8, 21)], ids=str)
def test_a_part_cuts_crops_in_its_familys_order_whether_a_frame_was_kept_whole_or_not(shape: tuple[int, int]) -> None:
    picture = noise(*shape)
    kept = needed_pixels(picture, crop_height=8, crop_width=8, count=3, order="ends_first", offset="down")
    pixels, offsets = join_pixels([kept, kept])
    part = replace(
        part_of(picture, picture), pixels=pixels, offsets=offsets, crop_order="ends_first", crop_offset="down"
    )
    for view in range(part.grid.total):
        start = (0, (max(shape) - 8) // 2 * 2, (max(shape) - 8) // 2)[view % 3]
        box = CropBox(start, 0, 8, 8) if shape[1] > shape[0] else CropBox(0, start, 8, 8)
        assert view_boxes(part, view) == (box, box)
        expected = picture[box.y : box.y + 8, box.x : box.x + 8]
        np.testing.assert_array_equal(assemble_clip(part, view), np.stack([expected, expected]))


def test_crops_are_kept_where_they_are_much_less_than_the_frame_and_hold_on_to_nothing() -> None:
    for whole, count in ((noise(8, 24), 3), (noise(8, 12), 1)):
        assert needed_pixels(whole, crop_height=8, crop_width=8, count=count) is whole
    for elongated, count in ((noise(8, 25), 3), (noise(8, 200), 3), (noise(8, 13), 1)):
        kept = needed_pixels(elongated, crop_height=8, crop_width=8, count=count)
        assert kept.shape == (count, 8, 8, 3)
        assert kept.base is None
    picture = noise(8, 24)
    kept = needed_pixels(picture, crop_height=8, crop_width=8, count=1)
    np.testing.assert_array_equal(kept, picture[None, :, 8:16])
