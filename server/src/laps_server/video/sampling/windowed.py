"""Rules that take clips from windows of declared time: the LAPS authors' and SlowFast's, from which it descends.

Where frame count and duration ``dur`` are declared, a view is a *window* of timestamps, its clip T positions inside
that window::

    frames   |0 1 2 3 4 5 6 7 8 9 . . . . . . . . . n-1|
    window k         [lo ........... hi] +1              lo = int(start*dur/n), hi = int(end*dur/n)
    positions         ^    ^    ^    ^                   counted inside the window

Otherwise the whole stream is the window, and a clip is T frame numbers::

    frames   |0 1 2 3 4 5 6 7 8 9 . . . . . . . . . n-1|
    clip k            ^    ^    ^    ^                   counted from the stream's start
                      start .... end

The rules differ in where clips start, in how many frames a clip spans, and in what stands for frames past the end.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from laps_server.arrays import IntArray
from laps_server.video.sampling.sampling import Sampling


@dataclass(frozen=True, slots=True)
class Window:
    """Timestamps ``lo`` to ``hi``, both inside; the first frame after ``hi`` belongs to it as well."""

    lo: int
    hi: int


@dataclass(frozen=True, slots=True)
class WindowedRule:
    """One of these rules.

    Attributes:
        start: where view k of V_t begins, from the frames that are left beside a clip: ``start(spare, k, V_t)``.
        nominal_rate: frames a second that a stride is meant at; None where it counts the video's own frames.
        wraps: whether a clip that finds too few frames begins again with the first; otherwise the last one stays.
    """

    start: Callable[[float, int, int], float]
    nominal_rate: int | None
    wraps: bool

    def clip_length(self, rate: Fraction, sampling: Sampling) -> float:
        """Frames that a clip spans in a video of ``rate`` frames a second, c; it may have a fraction."""
        if self.nominal_rate is None:
            return sampling.clip_length
        return max(1.0, float(sampling.clip_length * rate / self.nominal_rate))

    def starts(self, count: int, rate: Fraction, sampling: Sampling) -> list[float]:
        """Frame number, with a fraction, at which each temporal view begins in a video of ``count`` frames."""
        spare = max(count - self.clip_length(rate, sampling), 0)
        return [self.start(spare, view, sampling.views) for view in range(sampling.views)]

    def windows(self, count: int, duration: int, rate: Fraction, sampling: Sampling) -> tuple[Window, ...]:
        """The window of each temporal view for a stream of ``count`` frames and ``duration`` time base units."""
        reach = self.clip_length(rate, sampling) - 1
        return tuple(
            Window(int(start * duration / count), int((start + reach) * duration / count))
            for start in self.starts(count, rate, sampling)
        )

    def positions(self, window_length: int, rate: Fraction, sampling: Sampling) -> IntArray:
        """``[T]`` positions inside a window of ``window_length`` frames.

        T evenly spaced values from 0 to c - 1, wrapped so that short windows repeat or kept inside, then truncated::

            T = 4, c = 16, window of 17   0  5 10 15
            T = 4, c = 16, window of 7    0  5  3  1      wrapped
                                          0  5  6  6      kept inside
        """
        return self._inside(0.0, window_length, rate, sampling)

    def numbers(self, count: int, rate: Fraction, sampling: Sampling) -> IntArray:
        """``[V_t, T]`` frame numbers where the whole stream of ``count`` frames is every view's window."""
        starts = self.starts(count, rate, sampling)
        return np.stack([self._inside(start, count, rate, sampling) for start in starts])

    def numbers_by_windows(
        self, timestamps: Sequence[int], *, count: int, duration: int, rate: Fraction, sampling: Sampling
    ) -> IntArray:
        """``[V_t, T]`` positions in increasing ``timestamps``; ``count`` and ``duration`` are as declared."""
        rows = []
        for window in self.windows(count, duration, rate, sampling):
            members = window_members(timestamps, window)
            rows.append(members.start + self.positions(len(members), rate, sampling))
        return np.stack(rows)  # [V_t, T]

    def _inside(self, start: float, length: int, rate: Fraction, sampling: Sampling) -> IntArray:
        if length < 1:
            raise ValueError(f"cannot place a clip in {length} frames")
        reach = self.clip_length(rate, sampling) - 1
        values = np.linspace(start, start + reach, sampling.frames)  # [T]
        if self.wraps:
            values = np.mod(values, length)
        # A remainder that rounds up to the length itself would be one past the end.
        return np.minimum(values.astype(np.intp), length - 1)


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


def _by_view(spare: float, view: int, views: int) -> float:
    """The divisor is the number of views, not one less: the last clip ends before the video does.

    ::

        n = 100, c = 40, V_t = 3      start = 0, 20, 40
        |0---------------------------------------100|
        [0 ........ 39]
                [20 ........ 59]
                        [40 ........ 79]
    """
    return spare * view / views


def _by_whole_steps(spare: float, view: int, views: int) -> float:
    """Whole frames apart, the last clip at most V_t - 2 frames before the end; a single one in the middle.

    ::

        n = 100, c = 40, V_t = 3      start = 0, 30, 60
        |0---------------------------------------100|
        [0 ........ 39]
                    [30 ........ 69]
                                [60 ........ 99]
    """
    return spare // 2 if views == 1 else view * (spare // (views - 1))


LAPS_UNIFORM = WindowedRule(start=_by_view, nominal_rate=None, wraps=True)
SLOWFAST_UNIFORM = WindowedRule(start=_by_view, nominal_rate=30, wraps=False)
SLOWFAST_OFFSET = WindowedRule(start=_by_whole_steps, nominal_rate=30, wraps=False)
