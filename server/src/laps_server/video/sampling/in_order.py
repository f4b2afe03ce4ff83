"""``uniform_in_order`` reaches from the first frame to the last, and time never runs back in a clip.

::

    frames   |0 1 2 3 4 5 6 7 8 9 . . . . . . . . . n-1|
    clips     [0 ....... ]    [1 ....... ]    [2 ......]   start = k * max(n - c, 0) / (V_t - 1)
    n < c    |0   1   2   3   n-1|
    clip k    ^  ^  ^  ^  ^  ^  ^                          spread over what there is
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from laps_server.arrays import IntArray
from laps_server.video.sampling.sampling import Sampling


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
