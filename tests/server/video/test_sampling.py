"""Index arithmetic, without any video."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from laps_server.video.grid import Grid
from laps_server.video.sampling import (
    Sampling,
    Window,
    clip_numbers,
    clip_positions,
    clip_start,
    time_windows,
    window_members,
)

SAMPLINGS = st.builds(Sampling, frames=st.integers(1, 32), stride=st.integers(1, 16), views=st.integers(1, 64))
COUNTS = st.integers(1, 5000)


def test_starts_divide_by_the_number_of_views() -> None:
    sampling = Sampling(frames=8, stride=8, views=5)
    assert [clip_start(250, sampling, view) for view in range(5)] == [0, 37.2, 74.4, 186 * 3 / 5, 148.8]


def test_windows_end_a_frame_before_a_clip_length() -> None:
    assert time_windows(250, 128000, Sampling(8, 8, 5))[1] == Window(int(37.2 * 512), int(100.2 * 512))


def test_positions_reach_the_last_frame_of_the_clip() -> None:
    assert clip_positions(65, Sampling(8, 8, 1)).tolist() == [0, 9, 18, 27, 36, 45, 54, 63]


def test_positions_wrap_before_they_are_truncated() -> None:
    assert clip_positions(32, Sampling(8, 8, 1)).tolist() == [0, 9, 18, 27, 4, 13, 22, 31]
    assert clip_positions(7, Sampling(4, 4, 1)).tolist() == [0, 5, 3, 1]


def test_fractional_starts_stay_fractional_until_the_end() -> None:
    assert clip_numbers(250, Sampling(8, 8, 5))[1].tolist() == [37, 46, 55, 64, 73, 82, 91, 100]
    assert clip_numbers(31, Sampling(2, 8, 2))[1].tolist() == [7, 22]


def test_a_window_takes_the_first_frame_after_it() -> None:
    assert list(window_members([0, 10, 20, 30, 40, 50], Window(12, 35))) == [2, 3, 4]
    assert list(window_members([0, 10, 20], Window(10, 20))) == [1, 2]


def test_a_window_between_frames_takes_the_next_frame() -> None:
    assert list(window_members([0, 100], Window(10, 20))) == [1]


def test_a_window_behind_the_video_takes_the_last_frame() -> None:
    assert list(window_members([0, 10, 20], Window(30, 40))) == [2]


@pytest.mark.parametrize("wrong", [(0, 8, 5), (8, 0, 5), (8, 8, 0)])
def test_a_sampling_of_nothing_is_refused(wrong: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Sampling(*wrong)


@given(COUNTS, SAMPLINGS)
def test_numbers_are_frames_of_the_video(count: int, sampling: Sampling) -> None:
    numbers = clip_numbers(count, sampling)
    assert numbers.shape == (sampling.views, sampling.frames)
    assert numbers.min() >= 0
    assert numbers.max() < count


@given(COUNTS, SAMPLINGS)
def test_clips_that_fit_never_wrap(count: int, sampling: Sampling) -> None:
    if count >= sampling.clip_length:
        assert (np.diff(clip_numbers(count, sampling), axis=1) >= 0).all()


@given(COUNTS, SAMPLINGS, st.integers(1, 3003))
def test_windows_of_a_steady_video_are_the_clips_numbers(count: int, sampling: Sampling, tick: int) -> None:
    """The two rules agree to a frame: a window begins at the first frame behind a fractional start."""
    times = [number * tick for number in range(count)]
    numbers = clip_numbers(count, sampling)
    for view, window in enumerate(time_windows(count, count * tick, sampling)):
        members = window_members(times, window)
        assert 0 <= members.start < members.stop <= count
        if count >= sampling.clip_length:
            by_time = members.start + clip_positions(len(members), sampling)
            assert np.abs(by_time - numbers[view]).max() <= 1


@given(st.lists(st.integers(0, 1000), min_size=1, unique=True).map(sorted), st.integers(0, 1200), st.integers(0, 300))
def test_members_follow_the_definition(times: list[int], lo: int, length: int) -> None:
    window = Window(lo, lo + length)
    inside = [i for i, time in enumerate(times) if window.lo <= time <= window.hi]
    later = [i for i, time in enumerate(times) if time > window.hi]
    assert list(window_members(times, window)) == (inside + later[:1] or [len(times) - 1])


@given(
    st.sampled_from([Fraction(24000, 1001), Fraction(25), Fraction(30000, 1001), Fraction(30), Fraction(60)]),
    st.integers(0, 500_000),
    st.integers(-5000, 5000),
    st.booleans(),
)
def test_a_grid_reads_numbers_through_rounded_timestamps(rate: Fraction, number: int, origin: int, down: bool) -> None:
    grid = Grid(origin, rate, Fraction(1, 1000))
    exact = origin + number / (rate * Fraction(1, 1000))
    stamp = int(exact // 1) if down else round(exact)
    assert grid.is_usable
    assert grid.number(stamp) == number
    low, high = grid.span(number, number)
    assert low < stamp < high


def test_a_grid_sees_gaps_doubles_and_drift() -> None:
    grid = Grid(0, Fraction(25), Fraction(1, 1000))
    assert grid.is_regular([0, 40, 80, 121])
    assert not grid.is_regular([0, 40, 120])
    assert not grid.is_regular([0, 40, 41])
    assert not grid.is_regular([0, 40, 95])
    assert not Grid(0, Fraction(500), Fraction(1, 1000)).is_usable
