"""The rules of sampling by the names that manifests give them: all that the rest of the server knows of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from laps_server.arrays import IntArray
from laps_server.video.sampling.counted import (
    fewest_for_segments,
    segments_of_5,
    strided_centre,
    tokshift,
    whole_clip,
    whole_clip_length,
)
from laps_server.video.sampling.in_order import numbers_in_order, numbers_in_order_by_time
from laps_server.video.sampling.moments import steady_25, steady_25_by_time, steady_25_length
from laps_server.video.sampling.sampling import Clock, Sampling, is_steady
from laps_server.video.sampling.windowed import LAPS_UNIFORM, SLOWFAST_OFFSET, SLOWFAST_UNIFORM, WindowedRule
from laps_server.view_grid import SamplingRule


@dataclass(frozen=True, slots=True)
class Rule:
    """One way to place clips in a video's time.

    Attributes:
        numbers: count of frames, frames a second and sampling -> ``[V_t, T]`` frame numbers, at a steady rate.
        clip_length: frames a second and sampling -> how many frames a video has that is not short.
        when_short: what becomes of the clips of a short one.
        windows: how clips are taken from windows of time where frame count and duration are declared; None where
            that changes nothing.
        by_time: increasing timestamps, their clock and sampling -> ``[V_t, T]`` positions, where frames come unevenly;
            None where their numbers alone count.
    """

    numbers: Callable[[int, Fraction, Sampling], IntArray]
    clip_length: Callable[[Fraction, Sampling], float]
    when_short: str
    windows: WindowedRule | None = None
    by_time: Callable[[Sequence[int], Clock, Sampling], IntArray] | None = None


def _windowed(rule: WindowedRule, when_short: str) -> Rule:
    return Rule(rule.numbers, rule.clip_length, when_short, windows=rule)


def _own_frames(_rate: Fraction, sampling: Sampling) -> float:
    return sampling.clip_length


_REPEATS = "frames repeat"
_SPREADS = "each clip spans all of it and motion looks slower"
_STAYS = "its last frame stays"

RULES: Mapping[SamplingRule, Rule] = {
    "laps_uniform": _windowed(LAPS_UNIFORM, _REPEATS),
    "uniform_in_order": Rule(
        lambda count, _, sampling: numbers_in_order(count, sampling),
        _own_frames,
        _SPREADS,
        by_time=lambda timestamps, _, sampling: numbers_in_order_by_time(timestamps, sampling),
    ),
    "slowfast_uniform": _windowed(SLOWFAST_UNIFORM, _STAYS),
    "slowfast_offset": _windowed(SLOWFAST_OFFSET, _STAYS),
    "strided_centre": Rule(lambda count, _, sampling: strided_centre(count, sampling), _own_frames, _REPEATS),
    "segments_of_5": Rule(
        lambda count, _, sampling: segments_of_5(count, sampling),
        lambda _, sampling: fewest_for_segments(sampling),
        "only the first frames are seen",
    ),
    "whole_clip": Rule(whole_clip, whole_clip_length, _SPREADS),
    "tokshift": Rule(lambda count, _, sampling: tokshift(count, sampling), _own_frames, _REPEATS),
    "steady_25": Rule(steady_25, steady_25_length, _STAYS, by_time=steady_25_by_time),
}


def clips_of(
    timestamps: Sequence[int], sampling: Sampling, *, clock: Clock, count: int | None, duration: int | None
) -> IntArray:
    """``[V_t, T]`` frame numbers by the model's rule.

    Args:
        timestamps: all of the stream's, increasing, from 0.
        sampling: what the model wants.
        clock: of the stream.
        count, duration: what the headers say, where they say both; only rules with windows ask.
    """
    if not timestamps:
        raise ValueError("cannot place a clip in 0 frames")
    rule = RULES[sampling.rule]
    rate = clock.rate(len(timestamps), timestamps[-1] - timestamps[0])
    if rule.windows is not None and count is not None and duration is not None:
        return rule.windows.numbers_by_windows(timestamps, count=count, duration=duration, rate=rate, sampling=sampling)
    # Times that are rounded would move a position by a frame here and there, by the container's time base.
    if rule.by_time is not None and not is_steady(timestamps):
        return rule.by_time(timestamps, clock, sampling)
    return rule.numbers(len(timestamps), rate, sampling)
