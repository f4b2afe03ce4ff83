"""Training and the server resize and crop by one rule, which docs/protocol.md gives; it is written in both packages."""

from __future__ import annotations

from math import floor

import numpy as np
import pytest

from laps_export.data import crop as training
from laps_server.video import preprocess as server

SHORT_SIDES = (64, 112, 224, 320, 360)
SIDES = (-1, 0, 1)  # of training; the server counts three crops from 0


def test_twice_as_long_stays_twice_as_long() -> None:
    assert training.resized_size(110, 220, 112) == server.resized_size(110, 220, 112) == (112, 224)


@pytest.mark.parametrize("short_side", SHORT_SIDES)
def test_the_size_after_the_resize_is_the_same_for_every_size_before(short_side: int) -> None:
    for short in range(16, 1090, 3):
        for long in range(short, min(4 * short, 1930), 7):
            expected = floor(float(long) / short * short_side)
            for height, width in ((short, long), (long, short)):
                size = server.resized_size(height, width, short_side)
                assert training.resized_size(height, width, short_side) == size
                assert size == ((short_side, expected) if height == short else (expected, short_side))
            if long % short == 0:
                assert expected == long * short_side // short, "an exact multiple is never rounded below itself"


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(
    ("height", "width"),
    [(110, 220), (220, 110), (112, 199), (112, 112), (120, 214), (240, 320), (135, 135), (300, 168), (41, 111)],
)
def test_the_pixels_of_a_square_are_the_same(height: int, width: int, side: int) -> None:
    frame = np.random.default_rng(height * width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    resized = server.resize_short_side(frame, 112)
    box = server.crop_box(*resized.shape[:2], crop_height=112, crop_width=112, position=side + 1, count=3)
    expected = resized[box.y : box.y + 112, box.x : box.x + 112]
    assert np.array_equal(training.resize_and_crop(frame, 112, side), expected)
    if side == 0:
        alone = server.crop_box(*resized.shape[:2], crop_height=112, crop_width=112, position=0, count=1)
        assert (alone.x, alone.y) == (box.x, box.y)
