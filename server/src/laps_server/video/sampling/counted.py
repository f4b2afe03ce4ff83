"""Rules that go by the numbers of frames alone, as the authors of each family wrote them; times play no part.

Each is ``[V_t, T]`` frame numbers of a video of ``count`` frames; r is the stride.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from laps_server.arrays import IntArray
from laps_server.video.sampling.sampling import Sampling
from laps_server.view_grid import SEGMENT_FRAMES

WHOLE_CLIP_RATE = 25  # frames a second that a stride of whole_clip is meant at


def strided_centre(count: int, sampling: Sampling) -> IntArray:
    """Each clip in the middle of its share of the places where one may begin; a short video repeats.

    ::

        T = 4, r = 4, V_t = 2, n = 41     places 0 .. 25, shares of 13
        places   |0 ........ 12|13 ....... 25|
        starts          6             19                6 10 14 18      19 23 27 31
        n = 7     0  4  1  5      0  4  1  5            (i * r) mod n
    """
    _check(count)
    views = np.arange(sampling.views, dtype=np.int64)
    places = count - sampling.clip_length + 1
    starts = (2 * views + 1) * places // (2 * sampling.views) if places > 0 else np.zeros_like(views)
    return _every_stride(starts, count, sampling)


def tokshift(count: int, sampling: Sampling) -> IntArray:
    """Starts divide the whole video; one that leaves no room for a clip goes back. A short video repeats.

    ::

        T = 4, r = 4, V_t = 3, n = 30     starts 0, 10 and, for 20, n - T * r + 1 = 15
        frames     0  4  8 12      10 14 18 22      15 19 23 27
        n = 7      0  4  1  5      (i * r) mod n
    """
    _check(count)
    views = np.arange(sampling.views, dtype=np.int64)
    starts = np.minimum(views * count // sampling.views, max(count - sampling.clip_length + 1, 1))
    if count <= sampling.clip_length:
        starts = np.zeros_like(starts)
    return _every_stride(starts, count, sampling)


def segments_of_5(count: int, sampling: Sampling) -> IntArray:
    """T / 5 segments of five consecutive frames, spread over the whole video.

    One view is the authors' rule: each segment begins in the middle of its share. They draw the starts of more views
    at random; ours lie evenly in the shares instead::

        10 frames (2 segments), n = 24     shares of (n - 4) / 2 = 10
        frames     |0 ........ 9|10 ...... 19|20 . 23|
        V_t = 1           5 6 7 8 9    15 16 17 18 19
        V_t = 2       2 .. 6       12 .. 16             start = share * i + (k + 1/2) * share / V_t
                         7 .. 11         17 .. 21

    Where there is no frame for each share, all segments begin with the first frame, and the last one stays.
    """
    _check(count)
    segments = _segments(sampling)
    views = np.arange(sampling.views, dtype=np.int64)[:, None]
    places = np.arange(segments, dtype=np.int64)[None]  # [1, S]
    spare = count - SEGMENT_FRAMES + 1
    if count < fewest_for_segments(sampling):
        starts = np.zeros((sampling.views, segments), dtype=np.int64)
    elif sampling.views == 1:
        starts = (2 * places + 1) * spare // (2 * segments)
    else:
        share = spare // segments
        starts = places * share + (2 * views + 1) * share // (2 * sampling.views)
    numbers = (starts[:, :, None] + np.arange(SEGMENT_FRAMES)).clip(max=count - 1)  # [V_t, S, 5]
    return numbers.reshape(sampling.views, sampling.frames).astype(np.intp)


def fewest_for_segments(sampling: Sampling) -> int:
    """Frames of a video below which all segments begin with the first."""
    return _segments(sampling) + SEGMENT_FRAMES


def whole_clip(count: int, rate: Fraction, sampling: Sampling) -> IntArray:
    """One long clip from the first frame on, as if at 25 frames a second; all views are the same.

    ::

        T = 4, r = 4, 50 fps     c = 16 * 50 / 25 = 32
        n = 90     0 10 20 31                           T evenly spaced values from 0 to c - 1, truncated
        n = 12     0  4  8 11                           from 0 to n, none past the last frame
    """
    _check(count)
    end = min(float(count), whole_clip_length(rate, sampling) - 1)
    values = np.linspace(0.0, max(end, 0.0), sampling.frames)  # [T]
    clip = np.minimum(values, count - 1).astype(np.intp)
    return np.tile(clip, (sampling.views, 1))  # [V_t, T]


def whole_clip_length(rate: Fraction, sampling: Sampling) -> float:
    """Frames that a clip of whole_clip spans in a video of ``rate`` frames a second."""
    return float(sampling.clip_length * rate / WHOLE_CLIP_RATE)


def _every_stride(starts: IntArray, count: int, sampling: Sampling) -> IntArray:
    steps = np.arange(sampling.frames, dtype=np.int64) * sampling.stride  # [T]
    numbers = (starts[:, None] + steps) % count  # [V_t, T]
    return numbers.astype(np.intp)


def _segments(sampling: Sampling) -> int:
    if sampling.frames % SEGMENT_FRAMES:
        raise ValueError(f"{sampling.frames} frames are not segments of {SEGMENT_FRAMES}")
    return sampling.frames // SEGMENT_FRAMES


def _check(count: int) -> None:
    if count < 1:
        raise ValueError(f"cannot place a clip in {count} frames")
