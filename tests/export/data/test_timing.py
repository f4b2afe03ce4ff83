from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from laps_export.data.timing import draw_timing, positions
from laps_export.errors import DataError
from laps_server.video.sampling.sampling import Sampling
from laps_server.video.sampling.windowed import LAPS_UNIFORM


@pytest.mark.parametrize("window", [1, 5, 17, 31, 32, 33, 200])
@pytest.mark.parametrize("stride", [1, 3, 4, 8])
def test_positions_are_those_of_the_server(stride: int, window: int) -> None:
    theirs = LAPS_UNIFORM.positions(window, Fraction(30), Sampling(frames=8, stride=stride, views=1))
    np.testing.assert_array_equal(positions(8, stride, window), theirs)


def test_times_start_at_zero_and_span_the_clip() -> None:
    for seed in range(60):
        timing = draw_timing(np.random.default_rng(seed), frames=8, stride=4)
        assert timing.times_s.shape == (8,)
        assert timing.times_s.min() == 0
        assert timing.times_s.max() <= 31 / timing.rate + 0.3
        assert timing.spacing_s == pytest.approx(31 / 7 / timing.rate)


def test_some_clips_wrap() -> None:
    timings = [draw_timing(np.random.default_rng(seed), frames=8, stride=4) for seed in range(300)]
    wrapped = sum(bool((np.diff(timing.numbers) < 0).any()) for timing in timings)
    assert 1 <= wrapped <= 40


@pytest.mark.parametrize(("frames", "stride"), [(1, 4), (8, 0)])
def test_a_clip_of_one_frame_or_no_stride_is_an_error(frames: int, stride: int) -> None:
    with pytest.raises(DataError) as caught:
        draw_timing(np.random.default_rng(0), frames=frames, stride=stride)
    assert caught.value.code == "invalid_timing"
