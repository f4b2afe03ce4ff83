"""Windows of a video's time, each sampled as a video of its own: arithmetic on timestamps, as pure functions.

A segment of length ``L`` holds the frames whose time lies in its window. The last one ends where the video does; a
window without a frame is no segment::

    frames    |0 1 2 3 4 5 6 7 8           9 . . . n-1|
    time      0        L        2L        3L          end
    segment   [   0    )[   1   )         [     3     )

Timestamps are integers in stream time base units, relative to the stream's first frame.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from fractions import Fraction
from math import ceil, floor

from laps_server.arrays import IntArray
from laps_server.part import Segment
from laps_server.video.sampling.rules import clips_of
from laps_server.video.sampling.sampling import Clock, Sampling

_MS = 1000


def count_windows(last: int, length: Fraction) -> int:
    """Windows up to the last frame, shown at ``last``, those without a frame among them; both in time base units."""
    return floor(last / length) + 1


def shortest_length_s(last_s: Fraction, max_windows: int) -> Fraction:
    """The least whole number of milliseconds, in seconds, that makes ``max_windows`` windows or fewer."""
    return Fraction(floor(last_s * _MS / max_windows) + 1, _MS)


def split(
    timestamps: Sequence[int], *, length_s: Fraction, time_base: Fraction, end_s: float, first: int = 0
) -> tuple[Segment, ...]:
    """The segments of a video whose frames have increasing ``timestamps`` and whose last frame ends at ``end_s``.

    Windows with an index below ``first`` are left out.
    """
    length = length_s / time_base
    segments = []
    start = bisect_left(timestamps, ceil(first * length))
    while start < len(timestamps):
        index = floor(timestamps[start] / length)
        stop = bisect_left(timestamps, ceil((index + 1) * length))
        full = float((index + 1) * length_s)
        segments.append(
            Segment(
                index=index,
                start_s=float(index * length_s),
                end_s=full if stop < len(timestamps) else min(full, end_s),
                frames=range(start, stop),
            )
        )
        start = stop
    return tuple(segments)


def segment_clips(
    timestamps: Sequence[int], frames: range, *, by_time: bool, sampling: Sampling, clock: Clock
) -> IntArray:
    """``[V_t, T]`` numbers of the frames that the clips of one segment use.

    ``timestamps`` are those of the whole video. ``by_time`` says that its headers declare frame count and duration, so
    that clips are taken from windows of time; count and duration of a segment follow from its frames.
    """
    origin = timestamps[frames.start]
    own = [time - origin for time in timestamps[frames.start : frames.stop]]
    count, duration = (len(own), _even_duration(own)) if by_time else (None, None)
    return frames.start + clips_of(own, sampling, clock=clock, count=count, duration=duration)


def _even_duration(timestamps: Sequence[int]) -> int:
    """How long frames at ``timestamps``, the first at 0, are shown if the last one is as long as the others."""
    count = len(timestamps)
    return max(1, round(timestamps[-1] * Fraction(count, count - 1))) if count > 1 else 1
