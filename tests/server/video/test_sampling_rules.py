"""The rules of other families, without any video: numbers by hand, and their authors' words written out naively."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from itertools import accumulate
from typing import get_args

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from laps_server.video.sampling.moments import steady_25_by_time
from laps_server.video.sampling.rules import RULES, clips_of
from laps_server.video.sampling.sampling import Clock, Sampling
from laps_server.view_grid import SamplingRule

RATES = st.sampled_from(
    [Fraction(12), Fraction(24000, 1001), Fraction(25), Fraction(30000, 1001), Fraction(30), Fraction(60)]
)
TIME_BASES = st.sampled_from([Fraction(1, 1000), Fraction(1, 600), Fraction(1, 90_000), Fraction(1, 12800)])
ROUNDINGS: tuple[Callable[[Fraction], int], ...] = (math.floor, round, math.ceil)
COUNTS = st.integers(1, 3000)


def of(rule: SamplingRule) -> st.SearchStrategy[Sampling]:
    frames = st.integers(1, 6).map(lambda segments: 5 * segments) if rule == "segments_of_5" else st.integers(1, 32)
    return st.builds(Sampling, frames=frames, stride=st.integers(1, 16), views=st.integers(1, 12), rule=st.just(rule))


ANY = st.sampled_from(get_args(SamplingRule)).flatmap(of)
NEVER_BACK: list[SamplingRule] = ["slowfast_uniform", "slowfast_offset", "whole_clip", "steady_25"]


def numbers(count: int, sampling: Sampling, rate: Fraction = Fraction(30)) -> list[list[int]]:
    found: list[list[int]] = RULES[sampling.rule].numbers(count, rate, sampling).tolist()
    return found


def test_every_rule_that_a_manifest_may_name_has_its_arithmetic() -> None:
    assert set(RULES) == set(get_args(SamplingRule))


# By hand --------------------------------------------------------------------------------------------


def test_slowfast_uniform_counts_its_stride_at_30_frames_a_second() -> None:
    # c = 16 at 30 fps; 32 at 60 fps, where the starts are (100 - 32) * k / 2.
    assert numbers(100, Sampling(4, 4, 2, "slowfast_uniform")) == [[0, 5, 10, 15], [42, 47, 52, 57]]
    assert numbers(100, Sampling(4, 4, 2, "slowfast_uniform"), Fraction(60)) == [[0, 10, 20, 31], [34, 44, 54, 65]]
    assert numbers(100, Sampling(4, 4, 1, "slowfast_uniform")) == [[0, 5, 10, 15]]


def test_slowfast_stays_at_the_last_frame_of_a_short_video() -> None:
    assert numbers(7, Sampling(4, 4, 2, "slowfast_uniform")) == [[0, 5, 6, 6]] * 2
    assert numbers(7, Sampling(4, 4, 3, "slowfast_offset")) == [[0, 5, 6, 6]] * 3


def test_slowfast_offset_reaches_the_end_in_whole_steps() -> None:
    # spare = 84: steps of 42; a single clip in the middle; at 25 fps c = 13.33 and half of 86.67 is 43.
    assert numbers(100, Sampling(4, 4, 3, "slowfast_offset")) == [[0, 5, 10, 15], [42, 47, 52, 57], [84, 89, 94, 99]]
    assert numbers(100, Sampling(4, 4, 1, "slowfast_offset")) == [[42, 47, 52, 57]]
    assert numbers(100, Sampling(4, 4, 1, "slowfast_offset"), Fraction(25)) == [[43, 47, 51, 55]]


def test_strided_centre_lies_in_the_middle_of_its_share() -> None:
    assert numbers(41, Sampling(4, 4, 2, "strided_centre")) == [[6, 10, 14, 18], [19, 23, 27, 31]]
    assert numbers(16, Sampling(4, 4, 2, "strided_centre")) == [[0, 4, 8, 12]] * 2
    assert numbers(7, Sampling(4, 4, 2, "strided_centre")) == [[0, 4, 1, 5]] * 2


def test_segments_of_5_follow_their_shares() -> None:
    assert numbers(24, Sampling(10, 1, 1, "segments_of_5")) == [[5, 6, 7, 8, 9, 15, 16, 17, 18, 19]]
    assert numbers(24, Sampling(10, 1, 2, "segments_of_5")) == [
        [2, 3, 4, 5, 6, 12, 13, 14, 15, 16],
        [7, 8, 9, 10, 11, 17, 18, 19, 20, 21],
    ]


def test_segments_of_5_all_begin_with_the_first_frame_where_there_are_few() -> None:
    assert numbers(6, Sampling(10, 1, 2, "segments_of_5")) == [[0, 1, 2, 3, 4] * 2] * 2
    assert numbers(3, Sampling(10, 1, 1, "segments_of_5")) == [[0, 1, 2, 2, 2] * 2]
    assert numbers(7, Sampling(10, 1, 1, "segments_of_5")) == [[0, 1, 2, 3, 4, 2, 3, 4, 5, 6]]


def test_segments_of_5_come_in_fives() -> None:
    with pytest.raises(ValueError, match="8 frames are not segments of 5"):
        numbers(100, Sampling(8, 1, 1, "segments_of_5"))


def test_whole_clip_lasts_as_long_at_any_rate() -> None:
    sampling = Sampling(4, 4, 1, "whole_clip")
    assert numbers(90, sampling, Fraction(25)) == [[0, 5, 10, 15]]
    assert numbers(90, sampling, Fraction(50)) == [[0, 10, 20, 31]]
    # From 0 to n, not to n - 1: the third of four values is 2/3 of 12.
    assert numbers(12, sampling, Fraction(50)) == [[0, 4, 8, 11]]
    assert numbers(90, Sampling(4, 4, 3, "whole_clip"), Fraction(25)) == [[0, 5, 10, 15]] * 3


def test_tokshift_goes_back_from_the_end() -> None:
    assert numbers(30, Sampling(4, 4, 3, "tokshift")) == [[0, 4, 8, 12], [10, 14, 18, 22], [15, 19, 23, 27]]
    assert numbers(16, Sampling(4, 4, 3, "tokshift")) == [[0, 4, 8, 12]] * 3
    assert numbers(7, Sampling(4, 4, 2, "tokshift")) == [[0, 4, 1, 5]] * 2


def test_steady_25_shows_every_frame_of_25_a_second() -> None:
    # n' = 20, c = 8: starts 0 and 12, and 6 where there is one clip.
    assert numbers(20, Sampling(4, 2, 2, "steady_25"), Fraction(25)) == [[0, 2, 4, 6], [12, 14, 16, 18]]
    assert numbers(20, Sampling(4, 2, 1, "steady_25"), Fraction(25)) == [[6, 8, 10, 12]]
    assert numbers(5, Sampling(4, 2, 2, "steady_25"), Fraction(25)) == [[0, 2, 4, 4]] * 2


def test_steady_25_drops_and_repeats_frames_of_other_rates() -> None:
    # 30 a second: picture i is frame floor(1.2 i). 10 a second: 3 frames are 8 pictures, two or three of each.
    assert numbers(300, Sampling(8, 1, 1, "steady_25"), Fraction(30)) == [[145, 146, 147, 148, 150, 151, 152, 153]]
    assert numbers(3, Sampling(10, 1, 1, "steady_25"), Fraction(10)) == [[0, 0, 0, 1, 1, 2, 2, 2, 2, 2]]


def test_steady_25_of_uneven_frames_shows_the_latest_until_each_moment() -> None:
    # Milliseconds; pictures at 0, 40 .. 280 of a video that ends at 290 * 4 / 3 = 387.
    times, clock = [0, 41, 120, 290], Clock(Fraction(1, 1000), None)
    clips = steady_25_by_time(times, clock, Sampling(8, 1, 2, "steady_25"))
    assert clips.tolist() == [[0, 0, 1, 2, 2, 2, 2, 2], [1, 2, 2, 2, 2, 2, 3, 3]]
    sampling = Sampling(8, 1, 2, "steady_25")
    assert clips_of(times, sampling, clock=clock, count=4, duration=387).tolist() == clips.tolist()


# The rate --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "span", "declared", "rate"),
    [
        *((300, 9967, Fraction(30), 30), (300, 9967, None, Fraction(299000, 9967))),
        *((4, 101, Fraction(30), 30), (10, 633, Fraction(30), Fraction(9000, 633))),
        *((300, 9967, Fraction(301, 10), Fraction(301, 10)), (300, 9967, Fraction(25), Fraction(299000, 9967))),
        *((1, 0, Fraction(30), 30), (1, 0, None, 25), (2, 0, Fraction(50), 50)),
    ],
)
def test_the_rate_is_the_frames_own_and_the_declared_one_where_it_is_the_same(
    count: int, span: int, declared: Fraction | None, rate: Fraction
) -> None:
    assert Clock(Fraction(1, 1000), declared).rate(count, span) == rate


@given(ANY, COUNTS, RATES, TIME_BASES, st.sampled_from(ROUNDINGS))
def test_rounded_times_of_a_steady_video_change_nothing_in_any_time_base(
    sampling: Sampling, count: int, rate: Fraction, time_base: Fraction, rounded: Callable[[Fraction], int]
) -> None:
    times = [rounded(number / rate / time_base) for number in range(count)]
    clips = clips_of(times, sampling, clock=Clock(time_base, rate), count=None, duration=None)
    assert clips.tolist() == numbers(count, sampling, rate)


# As the authors say it -------------------------------------------------------------------------------


def _spread(start: float, end: float, frames: int) -> list[float]:
    return [start + (end - start) * i / (frames - 1) for i in range(frames)] if frames > 1 else [start]


def _are_truncated(clip: list[int], exact: list[float]) -> bool:
    """Of two ways to add up floats one may fall short of a whole number."""
    slack = 1e-6
    return all(math.floor(value - slack) <= number <= value + slack for number, value in zip(clip, exact, strict=True))


@given(of("slowfast_uniform"), COUNTS, st.sampled_from([15, 30, 60]))
def test_slowfast_uniform_as_written(sampling: Sampling, count: int, rate: int) -> None:
    c = sampling.frames * sampling.stride * rate / 30
    assume(c >= 1)
    for k, clip in enumerate(numbers(count, sampling, Fraction(rate))):
        start = max(count - c, 0) * k / sampling.views
        exact = [min(value, count - 1) for value in _spread(start, start + c - 1, sampling.frames)]
        # Of two ways to add up floats one may fall short of a whole number.
        assert all(
            math.floor(value - 1e-6) <= number <= value + 1e-6 for number, value in zip(clip, exact, strict=True)
        )


@given(of("laps_uniform"), COUNTS, st.integers(1, 40), st.booleans())
def test_slowfast_uniform_is_laps_uniform_at_30_frames_a_second_where_a_clip_fits(
    sampling: Sampling, count: int, tick: int, declared: bool
) -> None:
    assume(count >= sampling.clip_length)
    times = [number * tick for number in range(count)]
    clock = Clock(Fraction(1, 30 * tick), Fraction(30))
    facts = {"count": count, "duration": count * tick} if declared else {"count": None, "duration": None}
    theirs = Sampling(sampling.frames, sampling.stride, sampling.views, "slowfast_uniform")
    by_laps, by_slowfast = (clips_of(times, each, clock=clock, **facts) for each in (sampling, theirs))
    shorter = np.abs(by_laps - by_slowfast)
    # A window may hold a frame less than a clip spans: the one rule begins again there, the other stays.
    assert (shorter[:, :-1] == 0).all()
    if not declared:
        assert (shorter == 0).all()


@given(of("slowfast_offset"), COUNTS, st.sampled_from([15, 30, 60]))
def test_slowfast_offset_as_written(sampling: Sampling, count: int, rate: int) -> None:
    c = sampling.frames * sampling.stride * rate / 30
    assume(c >= 1)
    spare, views = max(count - c, 0), sampling.views
    starts = [math.floor(spare / 2)] if views == 1 else [k * math.floor(spare / (views - 1)) for k in range(views)]
    assert [clip[0] for clip in numbers(count, sampling, Fraction(rate))] == starts


@given(of("strided_centre"), COUNTS)
def test_strided_centre_as_written(sampling: Sampling, count: int) -> None:
    spanned, views = sampling.frames * sampling.stride, sampling.views
    for k, clip in enumerate(numbers(count, sampling)):
        start = math.trunc((k + Fraction(1, 2)) * (count - spanned + 1) / views) if count >= spanned else 0
        assert clip == [(start + i * sampling.stride) % count for i in range(sampling.frames)]


@given(of("segments_of_5"), COUNTS)
def test_segments_of_5_as_written(sampling: Sampling, count: int) -> None:
    segments, tick = sampling.frames // 5, Fraction(count - 4, sampling.frames // 5)
    for k, clip in enumerate(numbers(count, sampling)):
        if count <= segments + 4:
            starts = [0] * segments
        elif sampling.views == 1:
            starts = [math.trunc(tick / 2 + tick * i) for i in range(segments)]
        else:
            a = (count - 4) // segments
            starts = [i * a + math.floor((k + Fraction(1, 2)) * a / sampling.views) for i in range(segments)]
        assert clip == [min(start + i, count - 1) for start in starts for i in range(5)]


@given(of("whole_clip"), COUNTS, st.sampled_from([25, 50]))
def test_whole_clip_as_written(sampling: Sampling, count: int, rate: int) -> None:
    c = sampling.frames * sampling.stride * rate / 25
    exact = [min(value, count - 1) for value in _spread(0, min(count, c - 1), sampling.frames)]
    for clip in numbers(count, sampling, Fraction(rate)):
        assert all(
            math.floor(value - 1e-6) <= number <= value + 1e-6 for number, value in zip(clip, exact, strict=True)
        )


@given(of("tokshift"), COUNTS)
def test_tokshift_as_written(sampling: Sampling, count: int) -> None:
    spanned = sampling.frames * sampling.stride
    for k, clip in enumerate(numbers(count, sampling)):
        start = min(math.trunc(Fraction(k * count, sampling.views)), max(count - spanned + 1, 1))
        start = 0 if count <= spanned else start
        assert clip == [(start + i * sampling.stride) % count for i in range(sampling.frames)]


@given(of("steady_25"), COUNTS, RATES)
def test_steady_25_as_written(sampling: Sampling, count: int, rate: Fraction) -> None:
    pictures = math.ceil(count / rate * 25)
    spare = max(pictures - sampling.frames * sampling.stride, 0)
    for k, clip in enumerate(numbers(count, sampling, rate)):
        start = math.floor(Fraction(spare, 2) if sampling.views == 1 else Fraction(k * spare, sampling.views - 1))
        seen = [min(start + i * sampling.stride, pictures - 1) for i in range(sampling.frames)]
        assert clip == [min(math.floor(picture * rate / 25), count - 1) for picture in seen]


# Whatever the rule -----------------------------------------------------------------------------------


@given(ANY, st.lists(st.integers(1, 5000), max_size=300), st.booleans())
def test_clips_are_frames_of_the_video(sampling: Sampling, gaps: list[int], declared: bool) -> None:
    times = [0, *accumulate(gaps)]
    facts = {"count": len(times), "duration": times[-1] + 1} if declared else {"count": None, "duration": None}
    clips = clips_of(times, sampling, clock=Clock(Fraction(1, 1000), Fraction(25)), **facts)
    assert clips.shape == (sampling.views, sampling.frames)
    assert clips.min() >= 0
    assert clips.max() < len(times)


@given(
    st.sampled_from(NEVER_BACK).flatmap(of),
    st.lists(st.integers(1, 5000), max_size=300),
)
def test_rules_that_do_not_wrap_never_run_back(sampling: Sampling, gaps: list[int]) -> None:
    times = [0, *accumulate(gaps)]
    clips = clips_of(times, sampling, clock=Clock(Fraction(1, 1000), None), count=None, duration=None)
    assert (np.diff(clips, axis=1) >= 0).all()
