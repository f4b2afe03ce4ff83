"""Every rule of sampling on real files: by the index, by all packets and by counting, whole and in segments."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import get_args
from unittest.mock import Mock

import pytest

from laps_server.segment_length import SegmentLength
from laps_server.video import index_planner, sampler
from laps_server.video.sampling.rules import RULES
from laps_server.video.sampling.sampling import Sampling
from laps_server.video.seek_route import NearbyFrames, SeekRoute
from laps_server.view_grid import SamplingRule
from support.numbered_videos import Straight, cut, encode, extract, extract_options, sampled_numbers, straight

X264 = {"g": "12", "bf": "2", "preset": "ultrafast"}
RULE_NAMES: tuple[SamplingRule, ...] = get_args(SamplingRule)
FRAMES, STRIDE, VIEWS = 10, 2, 3
FAST = Fraction(50)


def expected(rule: SamplingRule, video: Straight, rate: Fraction = FAST) -> list[list[int]]:
    """Frame numbers of a steady file: those of the pure function, and windows of time written out naively."""
    sampling, count = Sampling(FRAMES, STRIDE, VIEWS, rule), len(video.times)
    windows = RULES[rule].windows
    if windows is None or not (video.declared and video.duration):
        return list(RULES[rule].numbers(count, rate, sampling).tolist())
    clips, length = [], windows.clip_length(rate, sampling)
    for start in windows.starts(count, rate, sampling):
        low, high = (int(place * video.duration / count) for place in (start, start + length - 1))
        inside = [i for i, time in enumerate(video.times) if low <= time <= high]
        inside += [i for i, time in enumerate(video.times) if time > high][:1]
        places = [i * (length - 1) / (FRAMES - 1) for i in range(FRAMES)]
        if windows.wraps:
            places = [place % len(inside) for place in places]
        clips.append([inside[min(int(place + 1e-9), len(inside) - 1)] for place in places])
    return clips


def sampled(path: Path, rule: SamplingRule) -> list[list[int]]:
    return sampled_numbers(extract(path, views=f"{VIEWS}x1", frames=FRAMES, stride=STRIDE, sampling=rule))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """3.2 s at 50 a second in containers of each kind; B-frames in AVI have no times of use."""
    folder = tmp_path_factory.mktemp("fast")
    return {
        name: encode(folder / f"fast.{name}", "libx264", count=160, options=X264, rate=FAST)
        for name in ("mp4", "mkv", "ts", "avi")
    }


@pytest.mark.parametrize("rule", RULE_NAMES)
@pytest.mark.parametrize("name", ["mp4", "mkv", "ts", "avi"])
def test_a_steady_file_is_sampled_by_each_rule_whatever_holds_it(
    name: str, rule: SamplingRule, files: dict[str, Path]
) -> None:
    assert sampled(files[name], rule) == expected(rule, straight(files[name]))


@pytest.mark.parametrize("rule", RULE_NAMES)
def test_each_rule_is_planned_by_the_index_of_an_mp4(
    rule: SamplingRule, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampler, "walk_packets", Mock(side_effect=NotImplementedError))
    assert sampled(files["mp4"], rule) == expected(rule, straight(files["mp4"]))


@pytest.mark.parametrize("rule", RULE_NAMES)
def test_each_rule_is_planned_by_the_rate_of_a_long_matroska(
    rule: SamplingRule, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampler, "WALK_SECONDS", 1)
    monkeypatch.setattr(sampler, "walk_packets", Mock(side_effect=NotImplementedError))
    assert sampled(files["mkv"], rule) == expected(rule, straight(files["mkv"]))


@pytest.mark.parametrize("rule", RULE_NAMES)
@pytest.mark.parametrize("name", ["mp4", "mkv"])
def test_each_rule_samples_a_segment_as_a_video_of_its_own(
    name: str, rule: SamplingRule, files: dict[str, Path]
) -> None:
    options = extract_options(views=f"{VIEWS}x1", frames=FRAMES, stride=STRIDE, sampling=rule)
    segments, _ = cut(files[name], "1s", options)
    alone = straight(files[name]).segments(SegmentLength.parse("1s").seconds)
    assert [segment.segment.index for segment in segments] == list(alone) == [0, 1, 2, 3]
    for segment, (first, video) in zip(segments, alone.values(), strict=True):
        assert sampled_numbers(segment) == [[first + number for number in clip] for clip in expected(rule, video)]


@pytest.mark.parametrize(
    ("rule", "effect"),
    [
        ("slowfast_uniform", "6 frames for clips of 34, so its last frame stays"),
        ("slowfast_offset", "6 frames for clips of 34, so its last frame stays"),
        ("strided_centre", "6 frames for clips of 20, so frames repeat"),
        ("segments_of_5", "6 frames for clips of 7, so only the first frames are seen"),
        ("whole_clip", "6 frames for clips of 40, so each clip spans all of it and motion looks slower"),
        ("tokshift", "6 frames for clips of 20, so frames repeat"),
        ("steady_25", "6 frames for clips of 40, so its last frame stays"),
    ],
)
def test_a_short_video_says_what_its_rule_does(rule: SamplingRule, effect: str, tmp_path: Path) -> None:
    path = encode(tmp_path / "short.mp4", "libx264", count=6, options=X264, rate=FAST)
    whole = extract(path, views=f"{VIEWS}x1", frames=FRAMES, stride=STRIDE, sampling=rule)
    assert whole.warnings == (f"the segment is short: {effect}",)
    assert sampled_numbers(whole) == expected(rule, straight(path))


def test_overlapping_segments_are_no_reason_to_warn(tmp_path: Path) -> None:
    path = encode(tmp_path / "dense.mp4", "libx264", count=12, options=X264)
    whole = extract(path, views="1x1", frames=10, stride=1, sampling="segments_of_5")
    assert sampled_numbers(whole) == [[2, 3, 4, 5, 6, 6, 7, 8, 9, 10]]
    path = encode(tmp_path / "denser.mp4", "libx264", count=8, options=X264)
    whole = extract(path, views="1x1", frames=10, stride=1, sampling="segments_of_5")
    assert sampled_numbers(whole) == [[1, 2, 3, 4, 5, 3, 4, 5, 6, 7]]
    assert whole.warnings == ()


def slower_in_the_second_half(number: int) -> int:
    """Milliseconds of 60 frames at 30 a second, and then of frames at 10 a second."""
    return round(number * 100 / 3) if number < 60 else 2000 + (number - 60) * 100


@pytest.mark.parametrize("name", ["uneven.mp4", "uneven.mkv", "uneven.ts"])
def test_steady_25_sees_uneven_frames_25_times_a_second(name: str, tmp_path: Path) -> None:
    path = encode(
        tmp_path / name,
        "libx264",
        count=80,
        options=X264,
        pts_of=slower_in_the_second_half,
        time_base=Fraction(1, 1000),
    )
    video = straight(path)
    times_s = [time * video.time_base for time in video.times]
    pictures = math.ceil(times_s[-1] * Fraction(80, 79) * 25)
    starts = [k * (pictures - FRAMES * STRIDE) // (VIEWS - 1) for k in range(VIEWS)]
    moments = [[Fraction(start + i * STRIDE, 25) for i in range(FRAMES)] for start in starts]
    assert sampled(path, "steady_25") == [
        [max(number for number, time in enumerate(times_s) if time <= moment) for moment in clip] for clip in moments
    ]


def test_clips_that_reach_far_are_read_around_their_frames_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_planner, "MAX_GAP_FRAMES", 20)
    monkeypatch.setattr(sampler, "walk_packets", Mock(side_effect=NotImplementedError))
    path = encode(tmp_path / "long.mp4", "libx264", count=400, options={**X264, "g": "10"})
    asked: list[int] = []
    around = SeekRoute.around

    def noted(route: SeekRoute, lo: int, hi: int) -> NearbyFrames:
        near = around(route, lo, hi)
        asked.append(len(near.timestamps))
        return near

    monkeypatch.setattr(SeekRoute, "around", noted)
    whole = extract(path, views="1x1", frames=20, stride=1, sampling="segments_of_5")
    starts = (49, 148, 247, 346)
    assert sampled_numbers(whole) == [[start + i for start in starts for i in range(5)]]
    assert len(asked) == 4
    assert sum(asked) < 100
