"""The rule ``uniform_in_order`` on real files, and the warnings that tell what a rule did to an unusual video."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest

from laps_server.sampled_frame import SampledFrame
from laps_server.segment_length import SegmentLength
from support.numbered_videos import Sampled, Straight, cut, encode, extract, extract_options, sampled_numbers, straight

X264 = {"g": "12", "bf": "2", "preset": "ultrafast"}
MILLISECOND = Fraction(1, 1000)
FRAMES, STRIDE, VIEWS = 4, 4, 5
RUNS_BACK = "has clips in which time runs back: its frames come at uneven times"


def in_order(video: Straight) -> list[list[int]]:
    """Frame numbers of each clip, by the rule of docs/protocol.md written out naively, by each frame's time alone."""
    count, span = len(video.times), min(FRAMES * STRIDE, len(video.times)) - 1
    interval = Fraction(video.times[-1], max(count - 1, 1))
    clips = []
    for view in range(VIEWS):
        start = Fraction(count - 1 - span) * view / (VIEWS - 1)
        moments = [(start + Fraction(span * place, FRAMES - 1)) * interval for place in range(FRAMES)]
        clips.append([max(i for i, time in enumerate(video.times) if time <= moment) for moment in moments])
    return clips


def steady(video: Straight) -> Straight:
    """The same frames, shown at an even rate."""
    return Straight(video.frames, list(range(len(video.times))), video.declared, video.duration, video.time_base)


def sampled(path: Path) -> Sampled:
    """The whole file, which has to be what its only segment is."""
    views = f"{VIEWS}x1"
    whole = extract(path, views=views, frames=FRAMES, stride=STRIDE, sampling="uniform_in_order")
    options = extract_options(views=views, frames=FRAMES, stride=STRIDE, sampling="uniform_in_order")
    ((only,), _) = cut(path, "1h", options)
    assert only.frames == whole.frames
    assert sampled_numbers(only) == sampled_numbers(whole)
    assert sorted(only.told) == sorted(whole.warnings)
    return whole


@pytest.mark.parametrize("count", [100, 16, 9, 1])
@pytest.mark.parametrize("name", ["x.mp4", "x.mkv", "x.ts", "x.flv", "x.avi"])
def test_a_steady_file_is_sampled_by_its_frame_numbers_whatever_holds_it(name: str, count: int, tmp_path: Path) -> None:
    """B-frames in AVI have no times of use: there the frames are counted, and by the same rule."""
    path = encode(tmp_path / name, "libx264", count=count, options=X264)
    whole = sampled(path)
    assert sampled_numbers(whole) == in_order(steady(straight(path)))
    assert all(frame.index in (number, None) for number, frame in _shown(whole))


@pytest.mark.parametrize("name", ["29.mkv", "29.ts", "29.mp4"])
def test_rounded_times_of_a_steady_video_change_nothing(name: str, tmp_path: Path) -> None:
    path = encode(tmp_path / name, "libx264", count=100, options=X264, rate=Fraction(30000, 1001))
    assert sampled_numbers(sampled(path)) == in_order(steady(straight(path)))


def slower_in_the_second_half(number: int) -> int:
    """Milliseconds of 120 frames at 30 a second, and then of frames at 10 a second."""
    return round(number * 100 / 3) if number < 120 else 4000 + (number - 120) * 100


@pytest.fixture
def uneven(tmp_path: Path) -> Path:
    return encode(
        tmp_path / "uneven.mp4",
        "libx264",
        count=180,
        options=X264,
        pts_of=slower_in_the_second_half,
        time_base=MILLISECOND,
    )


@pytest.mark.parametrize("name", ["uneven.mp4", "uneven.mkv", "uneven.ts"])
def test_an_uneven_file_is_sampled_by_time(name: str, tmp_path: Path) -> None:
    pts_of = slower_in_the_second_half
    path = encode(tmp_path / name, "libx264", count=180, options=X264, pts_of=pts_of, time_base=MILLISECOND)
    numbers = sampled_numbers(sampled(path))
    assert numbers == in_order(straight(path))
    assert all(earlier < later for clip in numbers for earlier, later in pairwise(clip))
    assert numbers != in_order(steady(straight(path)))


def test_each_segment_is_sampled_in_order_and_to_its_end(uneven: Path) -> None:
    options = extract_options(views=f"{VIEWS}x1", frames=FRAMES, stride=STRIDE, sampling="uniform_in_order")
    segments, warnings = cut(uneven, "2.5s", options)
    expected = straight(uneven).segments(SegmentLength.parse("2.5s").seconds)
    assert [segment.segment.index for segment in segments] == list(expected) == [0, 1, 2, 3]
    for segment, (first, alone) in zip(segments, expected.values(), strict=True):
        numbers = sampled_numbers(segment)
        assert numbers == [[first + number for number in clip] for clip in in_order(alone)]
        assert (numbers[0][0], numbers[-1][-1]) == (first, first + len(alone.times) - 1)
        assert segment.warnings == ()
    assert warnings == ()


def test_a_short_video_is_spread_over_the_clip_and_the_answer_says_so(tmp_path: Path) -> None:
    path = encode(tmp_path / "short.mp4", "libx264", count=6, options=X264)
    whole = sampled(path)
    assert sampled_numbers(whole) == [[0, 1, 3, 5]] * VIEWS
    assert whole.warnings == (
        "the segment is short: 6 frames for clips of 16, so each clip spans all of it and motion looks slower",
    )


def test_time_that_runs_back_by_the_authors_rule_is_told_once(uneven: Path) -> None:
    whole = extract(uneven, views="5x1", frames=FRAMES, stride=STRIDE)
    assert any(later < earlier for clip in sampled_numbers(whole) for earlier, later in pairwise(clip))
    assert whole.warnings == (f"the segment {RUNS_BACK}",)
    assert sampled(uneven).warnings == ()


def test_only_the_segment_whose_time_runs_back_says_so(uneven: Path) -> None:
    segments, warnings = cut(uneven, "2.5s", extract_options(views="5x1", frames=FRAMES, stride=STRIDE))
    assert [segment.warnings for segment in segments] == [(), (f"the segment {RUNS_BACK}",), (), ()]
    assert warnings == ()


@pytest.mark.parametrize("rate", [25, Fraction(30000, 1001)], ids=str)
@pytest.mark.parametrize("name", ["even.mp4", "even.mkv"])
def test_a_steady_video_says_nothing_by_the_authors_rule(name: str, rate: Fraction, tmp_path: Path) -> None:
    path = encode(tmp_path / name, "libx264", count=100, options=X264, rate=rate)
    assert extract(path, views="5x1", frames=FRAMES, stride=STRIDE).warnings == ()


def _shown(whole: Sampled) -> list[tuple[int, SampledFrame]]:
    numbers = sampled_numbers(whole)
    pairs = {
        (number, whole.frames[position])
        for clip, positions in zip(numbers, whole.clip_frames, strict=True)
        for number, position in zip(clip, positions, strict=True)
    }
    return sorted(pairs, key=lambda pair: pair[0])
