"""Which frames a view uses: index arithmetic apart from decoding, as pure functions.

Two rules, of which a model's manifest names one (docs/protocol.md tells both). ``c = stride * T`` is the length of a
clip in frames, ``k`` counts temporal views from 0, ``n`` are the frames that there are.

``laps_uniform``, the rule of the LAPS authors, divides by the number of views and wraps what is short. Where frame
count and duration ``dur`` are declared, a view is a *window* of timestamps, its clip T positions inside that window::

    frames   |0 1 2 3 4 5 6 7 8 9 . . . . . . . . . n-1|
    window k         [lo ........... hi] +1              lo = int(start*dur/n), hi = int(end*dur/n)
    positions         ^    ^    ^    ^                   counted inside the window, wrapped at its length

Otherwise the whole stream is the window, and a clip is T frame numbers::

    frames   |0 1 2 3 4 5 6 7 8 9 . . . . . . . . . n-1|
    clip k            ^    ^    ^    ^                   counted from the stream's start, wrapped at n
                      start .... end

``uniform_in_order`` reaches from the first frame to the last, and time never runs back in a clip::

    frames   |0 1 2 3 4 5 6 7 8 9 . . . . . . . . . n-1|
    clips     [0 ....... ]    [1 ....... ]    [2 ......]   start = k * max(n - c, 0) / (V_t - 1)
    n < c    |0   1   2   3   n-1|
    clip k    ^  ^  ^  ^  ^  ^  ^                          spread over what there is

Timestamps are integers in stream time base units, relative to the stream's first frame.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from laps_server.arrays import IntArray
from laps_server.video.frame_numbering import ROUNDING_TICKS
from laps_server.view_grid import SamplingRule


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a model looks along time: ``frames`` T a clip, ``stride`` frames apart, ``views`` V_t clips, by ``rule``."""

    frames: int
    stride: int
    views: int
    rule: SamplingRule = "laps_uniform"

    def __post_init__(self) -> None:
        if min(self.frames, self.stride, self.views) < 1:
            raise ValueError(f"frames, stride and views must be at least 1, not {self}")

    @property
    def clip_length(self) -> int:
        """Frames that a clip spans, c = stride * T."""
        return self.stride * self.frames


@dataclass(frozen=True, slots=True)
class Window:
    """Timestamps ``lo`` to ``hi``, both inside; the first frame after ``hi`` belongs to it as well."""

    lo: int
    hi: int


def clip_start(count: int, sampling: Sampling, view: int) -> float:
    """Frame number, with a fraction, at which temporal view ``view`` begins.

    The divisor is the number of views, not one less: the last clip ends before the video does::

        n = 100, c = 40, V_t = 3      start = 0, 20, 40
        |0---------------------------------------100|
        [0 ........ 39]
                [20 ........ 59]
                        [40 ........ 79]
    """
    return max(count - sampling.clip_length, 0) * view / sampling.views


def time_windows(count: int, duration: int, sampling: Sampling) -> tuple[Window, ...]:
    """The window of each temporal view for a stream of ``count`` frames and ``duration`` time base units."""
    windows = []
    for view in range(sampling.views):
        start = clip_start(count, sampling, view)
        end = start + sampling.clip_length - 1
        windows.append(Window(int(start * duration / count), int(end * duration / count)))
    return tuple(windows)


def window_members(timestamps: Sequence[int], window: Window) -> range:
    """Positions in increasing ``timestamps`` of the frames that ``window`` holds; never empty.

    ::

        timestamps   0   10   20   30   40   50
        window           [12 ....... 35]
        members               20   30   40        inside, and the first after

    A window behind the last frame takes the nearest earlier one.
    """
    if not timestamps:
        raise ValueError("a stream without frames has no windows")
    first = bisect_left(timestamps, window.lo)
    stop = min(bisect_right(timestamps, window.hi) + 1, len(timestamps))
    if first >= stop:
        return range(len(timestamps) - 1, len(timestamps))
    return range(first, stop)


def clip_positions(window_length: int, sampling: Sampling) -> IntArray:
    """``[T]`` positions inside a window of ``window_length`` frames.

    T evenly spaced values from 0 to c - 1, wrapped so that short windows repeat, then truncated::

        T = 4, c = 16, window of 17:  0  5 10 15
        T = 4, c = 16, window of 7:   0  5  3  1
    """
    return _wrapped(0.0, window_length, sampling)


def clip_numbers(count: int, sampling: Sampling) -> IntArray:
    """``[V_t, T]`` frame numbers where the whole stream of ``count`` frames is every view's window."""
    return np.stack([_wrapped(clip_start(count, sampling, k), count, sampling) for k in range(sampling.views)])


def numbers_in_order(count: int, sampling: Sampling) -> IntArray:
    """``[V_t, T]`` frame numbers by ``uniform_in_order`` where ``count`` frames come at a steady rate.

    The first clip begins with the first frame and the last one ends with the last; a single one lies in the middle.
    Each is T evenly spaced values, truncated::

        T = 4, c = 16, V_t = 2, n = 40      0  5 10 15      24 29 34 39
        T = 4, c = 16, V_t = 1, n = 40     12 17 22 27
        T = 4, c = 16, V_t = 2, n = 6       0  1  3  5       0  1  3  5
    """
    numerators, denominator = _places_in_order(count, sampling)
    return (numerators // denominator).astype(np.intp)


def numbers_in_order_by_time(timestamps: Sequence[int], sampling: Sampling) -> IntArray:
    """``[V_t, T]`` positions in increasing ``timestamps`` by ``uniform_in_order`` where frames come unevenly.

    A clip lasts as long as c frames do on average, and shows at each of its moments the latest frame until then::

        T = 4, c = 8, V_t = 1, 8 frames     moments 0, 7/3, 14/3 and 7 mean intervals after the first

        frames    0 1 2 3 4   5       6       7
        moments   ^        ^         ^        ^      0 4 5 7
    """
    numerators, denominator = _places_in_order(len(timestamps), sampling)
    first, intervals = timestamps[0], max(len(timestamps) - 1, 1)
    duration = timestamps[-1] - first
    # Whole numbers without a bound: a moment that falls on a frame's very tick must show that frame.
    moments = [int(place) * duration // (denominator * intervals) for place in numerators.flat]
    found = [bisect_right(timestamps, first + moment) - 1 for moment in moments]
    return np.array(found, dtype=np.intp).reshape(numerators.shape)  # [V_t, T]


def is_steady(timestamps: Sequence[int], tolerance_ticks: float = ROUNDING_TICKS) -> bool:
    """Whether frames shown at increasing ``timestamps`` are evenly spaced but for the rounding of their times.

    ::

        30 fps in milliseconds   0  33  67 100 133      every one within a tick of 0, 33.25, 66.5, 99.75, 133
    """
    times = np.asarray(timestamps, dtype=np.int64)
    times = times - times[0]
    even = np.linspace(0.0, float(times[-1]), len(times))
    return bool(np.abs(times - even).max() <= tolerance_ticks)


def steady_numbers(count: int, sampling: Sampling) -> IntArray:
    """``[V_t, T]`` frame numbers in a stream of ``count`` frames at a steady rate, by the model's rule."""
    return numbers_in_order(count, sampling) if sampling.rule == "uniform_in_order" else clip_numbers(count, sampling)


def clips_of(timestamps: Sequence[int], sampling: Sampling, *, count: int | None, duration: int | None) -> IntArray:
    """``[V_t, T]`` frame numbers by the model's rule.

    ``timestamps`` are all of the stream's, from 0; ``count`` and ``duration`` what the headers say, which
    ``uniform_in_order`` does not ask.
    """
    if not timestamps:
        raise ValueError("cannot place a clip in 0 frames")
    if sampling.rule == "uniform_in_order":
        # Times that are rounded would move a position by a frame here and there, by the container's time base.
        if is_steady(timestamps):
            return numbers_in_order(len(timestamps), sampling)
        return numbers_in_order_by_time(timestamps, sampling)
    if count is None or duration is None:
        return clip_numbers(len(timestamps), sampling)
    rows = []
    for window in time_windows(count, duration, sampling):
        members = window_members(timestamps, window)
        rows.append(members.start + clip_positions(len(members), sampling))
    return np.stack(rows)  # [V_t, T]


def _places_in_order(count: int, sampling: Sampling) -> tuple[npt.NDArray[np.int64], int]:
    """Where the clips of ``uniform_in_order`` look: ``[V_t, T]`` numerators in mean intervals, and one denominator.

    Whole numbers, so that truncating them later goes wrong nowhere.
    """
    if count < 1:
        raise ValueError(f"cannot place a clip in {count} frames")
    length = min(sampling.clip_length, count)
    views, starts = np.arange(sampling.views), sampling.views - 1
    if sampling.views == 1:
        views, starts = np.array([1]), 2  # the middle
    steps = max(sampling.frames - 1, 1)
    begin = views[:, None] * ((count - length) * steps)  # [V_t, 1]
    within = np.arange(sampling.frames)[None] * ((length - 1) * starts)  # [1, T]
    return begin + within, starts * steps


def _wrapped(start: float, length: int, sampling: Sampling) -> IntArray:
    if length < 1:
        raise ValueError(f"cannot place a clip in {length} frames")
    values = np.linspace(start, start + sampling.clip_length - 1, sampling.frames)  # [T]
    # A remainder that rounds up to the length itself would be one past the end.
    return np.minimum(np.mod(values, length).astype(np.intp), length - 1)
