"""Which frames a view uses: index arithmetic apart from decoding, as pure functions.

Two rules, and a video follows exactly one of them (docs/protocol.md says which). ``c = stride * T`` is the
length of a clip in frames, ``k`` counts temporal views from 0.

Frame count ``n`` and duration ``dur`` declared: a view is a *window* of timestamps, its clip T positions
inside that window::

    frames   |0 1 2 3 4 5 6 7 8 9 . . . . . . . . . n-1|
    window k         [lo ........... hi] +1              lo = int(start*dur/n), hi = int(end*dur/n)
    positions         ^    ^    ^    ^                   counted inside the window, wrapped at its length

Otherwise the whole stream is the window, and a clip is T frame numbers::

    frames   |0 1 2 3 4 5 6 7 8 9 . . . . . . . . . n-1|
    clip k            ^    ^    ^    ^                   counted from the stream's start, wrapped at n
                      start .... end

Timestamps are integers in stream time base units, relative to the stream's first frame.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from laps_server.clips import IntArray


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a model looks along time: ``frames`` T a clip, ``stride`` frames apart, ``views`` V_t clips."""

    frames: int
    stride: int
    views: int

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


def clips_of(timestamps: Sequence[int], count: int | None, duration: int | None, sampling: Sampling) -> IntArray:
    """``[V_t, T]`` frame numbers by the rule that the headers allow.

    ``timestamps`` are all of the stream's, from 0; ``count`` and ``duration`` what the headers say.
    """
    if count is None or duration is None:
        return clip_numbers(len(timestamps), sampling)
    rows = []
    for window in time_windows(count, duration, sampling):
        members = window_members(timestamps, window)
        rows.append(members.start + clip_positions(len(members), sampling))
    return np.stack(rows)  # [V_t, T]


def _wrapped(start: float, length: int, sampling: Sampling) -> IntArray:
    if length < 1:
        raise ValueError(f"cannot place a clip in {length} frames")
    values = np.linspace(start, start + sampling.clip_length - 1, sampling.frames)  # [T]
    # A remainder that rounds up to the length itself would be one past the end.
    return np.minimum(np.mod(values, length).astype(np.intp), length - 1)
