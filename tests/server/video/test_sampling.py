"""Index arithmetic, without any video."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from laps_server.video.sampling.in_order import numbers_in_order, numbers_in_order_by_time
from laps_server.video.sampling.rules import RULES, clips_of
from laps_server.video.sampling.sampling import Clock, Sampling, is_steady
from laps_server.video.sampling.windowed import LAPS_UNIFORM, Window, window_members
from laps_server.view_grid import SamplingRule

RATE = Fraction(30)  # which most rules do not ask for
CLOCK = Clock(Fraction(1, 1000), None)
SAMPLINGS = st.builds(Sampling, frames=st.integers(1, 32), stride=st.integers(1, 16), views=st.integers(1, 64))
IN_ORDER = st.builds(
    Sampling,
    frames=st.integers(1, 32),
    stride=st.integers(1, 16),
    views=st.integers(1, 64),
    rule=st.just("uniform_in_order"),
)
COUNTS = st.integers(1, 5000)
TIMES = st.lists(st.integers(1, 5000), max_size=300).map(lambda gaps: [0, *accumulate(gaps)])
RATES = st.sampled_from(
    [Fraction(10), Fraction(24000, 1001), Fraction(25), Fraction(30000, 1001), Fraction(30), Fraction(60000, 1001)]
)
TIME_BASES = st.sampled_from([Fraction(1, 1000), Fraction(1, 600), Fraction(1, 90_000), Fraction(1, 10**9)])
ROUNDINGS: tuple[Callable[[Fraction], int], ...] = (math.floor, round, math.ceil)


def test_starts_divide_by_the_number_of_views() -> None:
    sampling = Sampling(frames=8, stride=8, views=5)
    assert LAPS_UNIFORM.starts(250, RATE, sampling) == [0, 37.2, 74.4, 186 * 3 / 5, 148.8]


def test_windows_end_a_frame_before_a_clip_length() -> None:
    assert LAPS_UNIFORM.windows(250, 128000, RATE, Sampling(8, 8, 5))[1] == Window(int(37.2 * 512), int(100.2 * 512))


def test_positions_reach_the_last_frame_of_the_clip() -> None:
    assert LAPS_UNIFORM.positions(65, RATE, Sampling(8, 8, 1)).tolist() == [0, 9, 18, 27, 36, 45, 54, 63]


def test_positions_wrap_before_they_are_truncated() -> None:
    assert LAPS_UNIFORM.positions(32, RATE, Sampling(8, 8, 1)).tolist() == [0, 9, 18, 27, 4, 13, 22, 31]
    assert LAPS_UNIFORM.positions(7, RATE, Sampling(4, 4, 1)).tolist() == [0, 5, 3, 1]


def test_fractional_starts_stay_fractional_until_the_end() -> None:
    assert LAPS_UNIFORM.numbers(250, RATE, Sampling(8, 8, 5))[1].tolist() == [37, 46, 55, 64, 73, 82, 91, 100]
    assert LAPS_UNIFORM.numbers(31, RATE, Sampling(2, 8, 2))[1].tolist() == [7, 22]


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
    numbers = LAPS_UNIFORM.numbers(count, RATE, sampling)
    assert numbers.shape == (sampling.views, sampling.frames)
    assert numbers.min() >= 0
    assert numbers.max() < count


@given(COUNTS, SAMPLINGS)
def test_clips_that_fit_never_wrap(count: int, sampling: Sampling) -> None:
    if count >= sampling.clip_length:
        assert (np.diff(LAPS_UNIFORM.numbers(count, RATE, sampling), axis=1) >= 0).all()


@given(COUNTS, SAMPLINGS, st.integers(1, 3003))
def test_windows_of_a_steady_video_are_the_clips_numbers(count: int, sampling: Sampling, tick: int) -> None:
    """The two rules agree to a frame: a window begins at the first frame behind a fractional start."""
    times = [number * tick for number in range(count)]
    numbers = LAPS_UNIFORM.numbers(count, RATE, sampling)
    for view, window in enumerate(LAPS_UNIFORM.windows(count, count * tick, RATE, sampling)):
        members = window_members(times, window)
        assert 0 <= members.start < members.stop <= count
        if count >= sampling.clip_length:
            by_time = members.start + LAPS_UNIFORM.positions(len(members), RATE, sampling)
            assert np.abs(by_time - numbers[view]).max() <= 1


@given(st.lists(st.integers(0, 1000), min_size=1, unique=True).map(sorted), st.integers(0, 1200), st.integers(0, 300))
def test_members_follow_the_definition(times: list[int], lo: int, length: int) -> None:
    window = Window(lo, lo + length)
    inside = [i for i, time in enumerate(times) if window.lo <= time <= window.hi]
    later = [i for i, time in enumerate(times) if time > window.hi]
    assert list(window_members(times, window)) == (inside + later[:1] or [len(times) - 1])


def test_clips_in_order_reach_from_the_first_frame_to_the_last() -> None:
    sampling = Sampling(8, 8, 5, "uniform_in_order")
    assert numbers_in_order(250, sampling)[:, 0].tolist() == [0, 46, 93, 139, 186]
    assert numbers_in_order(250, sampling)[1].tolist() == [46, 55, 64, 73, 82, 91, 100, 109]
    assert numbers_in_order(250, sampling)[4].tolist() == [186, 195, 204, 213, 222, 231, 240, 249]


def test_a_single_clip_in_order_lies_in_the_middle() -> None:
    assert numbers_in_order(40, Sampling(4, 4, 1)).tolist() == [[12, 17, 22, 27]]
    assert numbers_in_order(41, Sampling(1, 4, 1)).tolist() == [[18]]


def test_clips_in_order_spread_over_a_short_video() -> None:
    assert numbers_in_order(5, Sampling(8, 4, 2)).tolist() == [[0, 0, 1, 1, 2, 2, 3, 4]] * 2
    assert numbers_in_order(1, Sampling(4, 4, 3)).tolist() == [[0, 0, 0, 0]] * 3


def test_uneven_frames_are_the_latest_until_each_moment() -> None:
    # A mean interval is 2 ticks, a clip 7 of them long: moments at 0, 4 2/3, 9 1/3 and 14.
    assert numbers_in_order_by_time([0, 1, 2, 3, 4, 6, 10, 14], Sampling(4, 2, 1)).tolist() == [[0, 4, 5, 7]]


def test_a_slower_half_shows_fewer_frames_to_a_clip() -> None:
    """30 a second for 4 s, then 10 a second for 6 s: clips last 32 mean intervals of 10 s / 180 frames."""
    times = [*range(0, 4000, 1000 // 30), *range(4000, 10_000, 100)]
    sampling = Sampling(8, 4, 5, "uniform_in_order")
    clips = clips_of(times, sampling, clock=CLOCK, count=len(times), duration=10_000)
    stamps = np.array(times)[clips]
    assert (np.diff(clips, axis=1) > 0).all()
    mean = times[-1] / (len(times) - 1)
    np.testing.assert_allclose(stamps[:, -1] - stamps[:, 0], 31 * mean, atol=100)
    assert clips[0, -1] - clips[0, 0] > 2 * (clips[4, -1] - clips[4, 0])
    assert (clips[0, 0], clips[4, -1]) == (0, len(times) - 1)


def test_the_rule_in_order_asks_no_header() -> None:
    times = [number * 40 for number in range(250)]
    sampling = Sampling(8, 8, 5, "uniform_in_order")
    for count, duration in ((None, None), (250, 10_000), (3, 40)):
        np.testing.assert_array_equal(
            clips_of(times, sampling, clock=CLOCK, count=count, duration=duration), numbers_in_order(250, sampling)
        )


@pytest.mark.parametrize("rule", RULES)
def test_no_clip_lies_in_no_frames(rule: SamplingRule) -> None:
    with pytest.raises(ValueError, match="0 frames"):
        clips_of([], Sampling(5, 4, 1, rule), clock=CLOCK, count=None, duration=None)
    with pytest.raises(ValueError, match="0 frames"):
        RULES[rule].numbers(0, RATE, Sampling(5, 4, 1))


@given(TIMES, IN_ORDER)
def test_time_never_runs_back_in_a_clip(times: list[int], sampling: Sampling) -> None:
    for clips in (
        numbers_in_order(len(times), sampling),
        numbers_in_order_by_time(times, sampling),
        clips_of(times, sampling, clock=CLOCK, count=None, duration=None),
    ):
        assert clips.shape == (sampling.views, sampling.frames)
        assert clips.min() >= 0
        assert clips.max() < len(times)
        assert (np.diff(clips, axis=1) >= 0).all()
        assert (np.diff(clips, axis=0) >= 0).all()
        if sampling.views > 1:
            assert clips[0, 0] == 0
            assert sampling.frames == 1 or clips[-1, -1] == len(times) - 1


@given(COUNTS, IN_ORDER)
def test_clips_in_order_span_a_clips_length_or_all_there_is(count: int, sampling: Sampling) -> None:
    clips = numbers_in_order(count, sampling)
    span = min(count, sampling.clip_length) - 1
    if sampling.frames > 1:
        assert set((clips[:, -1] - clips[:, 0]).tolist()) <= {span, span + 1}
    if count <= sampling.clip_length:
        assert (clips[:, 0] == 0).all()
        assert sampling.frames == 1 or (clips[:, -1] == count - 1).all()
    # What a straight reading of the rule gives, in exact fractions.
    steps, spaces = sampling.frames - 1, sampling.views - 1
    for view, clip in enumerate(clips.tolist()):
        start = (count - span - 1) * (Fraction(view, spaces) if spaces else Fraction(1, 2))
        assert clip == [math.floor(start + (Fraction(span * step, steps) if steps else 0)) for step in range(steps + 1)]


@given(COUNTS, st.integers(1, 10**6), IN_ORDER)
def test_even_times_are_the_index_rule(count: int, tick: int, sampling: Sampling) -> None:
    times = [number * tick for number in range(count)]
    assert is_steady(times)
    numbers = numbers_in_order(count, sampling)
    np.testing.assert_array_equal(numbers_in_order_by_time(times, sampling), numbers)
    np.testing.assert_array_equal(clips_of(times, sampling, clock=CLOCK, count=None, duration=None), numbers)


@given(st.integers(1, 2000), RATES, TIME_BASES, st.sampled_from(ROUNDINGS), IN_ORDER)
def test_rounded_times_of_a_steady_video_are_the_index_rule_in_any_time_base(
    count: int, rate: Fraction, time_base: Fraction, rounded: Callable[[Fraction], int], sampling: Sampling
) -> None:
    times = [rounded(number / rate / time_base) for number in range(count)]
    np.testing.assert_array_equal(
        clips_of(times, sampling, clock=CLOCK, count=None, duration=None), numbers_in_order(count, sampling)
    )


@given(TIMES, st.integers(0, 10**9), IN_ORDER)
def test_where_a_clock_starts_does_not_matter(times: list[int], origin: int, sampling: Sampling) -> None:
    later = [time + origin for time in times]
    assert is_steady(later) == is_steady(times)
    np.testing.assert_array_equal(numbers_in_order_by_time(later, sampling), numbers_in_order_by_time(times, sampling))


def test_times_off_an_even_grid_are_not_steady() -> None:
    assert is_steady([0, 33, 67, 100, 133])
    assert is_steady([7])
    assert is_steady(range(0, 40 * 100_000, 40))
    assert not is_steady([0, 40, 80, 124, 160])
    assert not is_steady([0, 40, 80, 160, 200])
    assert not is_steady([*range(0, 4000, 40), *range(4000, 8000, 80)])
    assert is_steady([0, 40, 80, 124, 160], tolerance_ticks=4)
