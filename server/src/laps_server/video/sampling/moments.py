"""``steady_25``: a video is seen at 25 pictures a second, whatever its own rate; a stride counts those pictures.

Picture ``i`` is the latest frame at ``i / 25`` s after the first; ``n'`` are the pictures up to the last frame's end::

    frames, 10 a second   |0         |1         |2         |          n' = 8
    pictures              |0   0   0  1   1   2   2   2    |
    moments, ms            0  40  80 120 160 200 240 280

Clips lie in order, from the first picture to the last ones, a single one in the middle. Time never runs back, and where
pictures end before a clip does, the last one stays::

    T = 4, r = 2, V_t = 2, n' = 20     0  2  4  6     12 14 16 18      start = k * (n' - c) / (V_t - 1), truncated
    n' = 5                             0  2  4  4      0  2  4  4
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from fractions import Fraction
from math import ceil, floor

import numpy as np

from laps_server.arrays import IntArray
from laps_server.video.sampling.sampling import Clock, Sampling

PICTURES_A_SECOND = 25


def steady_25(count: int, rate: Fraction, sampling: Sampling) -> IntArray:
    """``[V_t, T]`` frame numbers where ``count`` frames come at a steady ``rate``."""
    if count < 1:
        raise ValueError(f"cannot place a clip in {count} frames")
    step = rate / PICTURES_A_SECOND  # frames from one picture to the next
    clips = _clips(ceil(count / step), sampling)
    return np.array([[min(floor(i * step), count - 1) for i in clip] for clip in clips], dtype=np.intp)


def steady_25_by_time(timestamps: Sequence[int], clock: Clock, sampling: Sampling) -> IntArray:
    """``[V_t, T]`` positions in increasing ``timestamps`` where frames come unevenly; the last is as long as others."""
    first, last, count = timestamps[0], timestamps[-1], len(timestamps)
    step = 1 / (PICTURES_A_SECOND * clock.time_base)  # ticks from one picture to the next
    duration = Fraction((last - first) * count, max(count - 1, 1))
    clips = _clips(max(1, ceil(duration / step)), sampling)
    # Timestamps are whole, so truncating a moment changes nothing.
    found = [[bisect_right(timestamps, first + floor(i * step)) - 1 for i in clip] for clip in clips]
    return np.array(found, dtype=np.intp)


def steady_25_length(rate: Fraction, sampling: Sampling) -> float:
    """Frames that a clip spans in a video of ``rate`` frames a second."""
    return float(sampling.clip_length * rate / PICTURES_A_SECOND)


def _clips(pictures: int, sampling: Sampling) -> list[list[int]]:
    """The pictures of each clip in a video of ``pictures``."""
    spare, views = max(pictures - sampling.clip_length, 0), sampling.views
    starts = [spare // 2] if views == 1 else [view * spare // (views - 1) for view in range(views)]
    return [[min(start + i * sampling.stride, pictures - 1) for i in range(sampling.frames)] for start in starts]
