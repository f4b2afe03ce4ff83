from __future__ import annotations

import numpy as np
import pytest

from laps_export.graph.moving_clips import PHOTOGRAPHS, moving_clip, photograph


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_photographs_are_in_the_package(name: str) -> None:
    picture = photograph(name)
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3
    assert picture.std() > 20


@pytest.mark.parametrize("size", [32, 360])
def test_a_clip_moves_and_repeats_for_its_seed(size: int) -> None:
    clip = moving_clip("chelsea", frames=8, size=size, seed=3)
    assert clip.shape == (8, size, size, 3)
    assert clip.dtype == np.uint8
    assert all((clip[t] != clip[t + 1]).any() for t in range(7))
    np.testing.assert_array_equal(clip, moving_clip("chelsea", frames=8, size=size, seed=3))
    assert (clip != moving_clip("chelsea", frames=8, size=size, seed=4)).any()
