"""Windows of time as arithmetic, without any video."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from laps_server.errors import BadParameter
from laps_server.part import Segment
from laps_server.segment_length import SegmentLength
from laps_server.video.sampling.in_order import numbers_in_order
from laps_server.video.sampling.rules import clips_of
from laps_server.video.sampling.sampling import Clock, Sampling
from laps_server.video.sampling.windowed import LAPS_UNIFORM
from laps_server.video.segments import count_windows, segment_clips, shortest_length_s, split

MILLISECOND = Fraction(1, 1000)
CLOCK = Clock(MILLISECOND, None)
GAPS = st.lists(st.integers(1, 5000), min_size=1, max_size=200)
LENGTHS = st.fractions(min_value=Fraction(1, 2), max_value=60, max_denominator=1000)


def times_of(gaps: list[int]) -> list[int]:
    return [sum(gaps[:place]) for place in range(len(gaps))]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", Fraction(1)),
        ("10s", Fraction(10)),
        ("1.5s", Fraction(3, 2)),
        ("1.001s", Fraction(1001, 1000)),
        ("2m", Fraction(120)),
        ("0.5m", Fraction(30)),
        ("1h", Fraction(3600)),
        ("999999999h", Fraction(999999999 * 3600)),
    ],
)
def test_a_length_is_a_number_with_a_unit(text: str, seconds: Fraction) -> None:
    assert SegmentLength.parse(text).seconds == seconds


@pytest.mark.parametrize(
    "text",
    [
        *("", "10", "s", "10 s", " 10s", "10s ", "10S", "-10s", "+10s", "1e2s", "10ms", ".5m", "5.s", "1,5s", "infs"),
        *("10s\n", "\u0661s", "1111111111s", "1s1s", "0x10s", "1.5.5s"),
    ],
    ids=ascii,
)
def test_anything_else_is_no_length(text: str) -> None:
    with pytest.raises(BadParameter) as refused:
        SegmentLength.parse(text)
    assert "10s" in (refused.value.hint or "")


@pytest.mark.parametrize("text", ["0s", "0.999s", "0.01m", "0h"])
def test_a_segment_has_at_least_a_second(text: str) -> None:
    with pytest.raises(BadParameter, match="too short") as refused:
        SegmentLength.parse(text)
    assert "1 s" in (refused.value.hint or "")


def test_windows_begin_with_the_frame_at_their_very_start() -> None:
    times = [number * 40 for number in range(60)]
    segments = split(times, length_s=Fraction(1), time_base=MILLISECOND, end_s=2.4)
    assert segments == (
        Segment(0, 0.0, 1.0, range(25)),
        Segment(1, 1.0, 2.0, range(25, 50)),
        Segment(2, 2.0, 2.4, range(50, 60)),
    )


def test_a_length_that_no_tick_hits_is_exact_all_the_same() -> None:
    times = list(range(0, 90_000 * 100, 3003))  # 29.97 frames a second, MPEG's clock
    length = Fraction(1, 3) + 1
    segments = split(times, length_s=length, time_base=Fraction(1, 90_000), end_s=100.0)
    for segment in segments:
        start, end = segment.index * length, (segment.index + 1) * length
        assert all(start <= Fraction(times[number], 90_000) < end for number in segment.frames)
    assert [number for segment in segments for number in segment.frames] == list(range(len(times)))


def test_windows_without_a_frame_are_left_out() -> None:
    segments = split([0, 400, 5100, 5200], length_s=Fraction(1), time_base=MILLISECOND, end_s=5.3)
    assert [(item.index, item.start_s, item.end_s, item.frames) for item in segments] == [
        (0, 0.0, 1.0, range(2)),
        (5, 5.0, 5.3, range(2, 4)),
    ]


def test_earlier_windows_can_be_left_out() -> None:
    times = [number * 500 for number in range(8)]
    whole = split(times, length_s=Fraction(1), time_base=MILLISECOND, end_s=4.0)
    assert split(times, length_s=Fraction(1), time_base=MILLISECOND, end_s=4.0, first=2) == whole[2:]
    assert split(times, length_s=Fraction(1), time_base=MILLISECOND, end_s=4.0, first=4) == ()


@given(GAPS, LENGTHS)
def test_every_frame_is_in_exactly_one_segment(gaps: list[int], length: Fraction) -> None:
    times = times_of(gaps)
    segments = split(times, length_s=length, time_base=MILLISECOND, end_s=times[-1] / 1000)
    assert [number for segment in segments for number in segment.frames] == list(range(len(times)))
    assert all(len(segment.frames) for segment in segments)
    assert all(
        int(times[number] * MILLISECOND / length) == segment.index for segment in segments for number in segment.frames
    )
    assert len(segments) <= count_windows(times[-1], length / MILLISECOND) == segments[-1].index + 1


@given(st.integers(0, 10**7), st.integers(1, 3000))
def test_the_shortest_length_is_the_shortest(last_ms: int, limit: int) -> None:
    shortest = shortest_length_s(last_ms * MILLISECOND, limit)
    assert count_windows(last_ms, shortest / MILLISECOND) <= limit
    shorter = shortest - MILLISECOND
    assert shorter == 0 or count_windows(last_ms, shorter / MILLISECOND) > limit


def test_a_segment_of_an_uncounted_stream_is_sampled_by_its_frames() -> None:
    sampling = Sampling(4, 3, 2)
    times = [number * 33 for number in range(100)]
    clips = segment_clips(times, range(40, 80), by_time=False, sampling=sampling, clock=CLOCK)
    np.testing.assert_array_equal(clips, 40 + LAPS_UNIFORM.numbers(40, Fraction(30), sampling))


def test_a_segment_of_a_counted_stream_is_sampled_by_windows_of_time() -> None:
    sampling = Sampling(8, 8, 5)
    times = [number * 512 for number in range(1000)]
    clips = segment_clips(times, range(250, 500), by_time=True, sampling=sampling, clock=CLOCK)
    np.testing.assert_array_equal(
        clips, 250 + clips_of(times[:250], sampling, clock=CLOCK, count=250, duration=250 * 512)
    )
    assert (clips != segment_clips(times, range(250, 500), by_time=False, sampling=sampling, clock=CLOCK)).any()


def test_a_segment_in_order_is_sampled_by_its_frames_whatever_the_headers_say() -> None:
    sampling = Sampling(4, 3, 2, "uniform_in_order")
    times = [number * 33 for number in range(100)]
    for by_time in (False, True):
        clips = segment_clips(times, range(40, 80), by_time=by_time, sampling=sampling, clock=CLOCK)
        np.testing.assert_array_equal(clips, 40 + numbers_in_order(40, sampling))


@pytest.mark.parametrize("by_time", [True, False])
@given(gaps=GAPS, data=st.data())
def test_a_segment_uses_its_own_frames_alone(by_time: bool, gaps: list[int], data: st.DataObject) -> None:
    times = times_of(gaps)
    start = data.draw(st.integers(0, len(times) - 1))
    stop = data.draw(st.integers(start + 1, len(times)))
    clips = segment_clips(times, range(start, stop), by_time=by_time, sampling=Sampling(4, 5, 3), clock=CLOCK)
    assert clips.shape == (3, 4)
    assert clips.min() >= start
    assert clips.max() < stop
