"""Frame numbers from timestamps, for containers that do not count their frames.

Matroska and WebM give timestamps rounded to a millisecond and a frame rate, but no count. Where the frames lie evenly
at that rate, a frame's number follows from its timestamp, and the count of all from the last one::

    25 fps        |     |     |     |     |
    timestamps    0     40    80    120   160      number = round(timestamp * rate)

Whether they do is checked at every timestamp that is read; the caller counts packets otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

ROUNDING_TICKS = 1.5  # a timestamp and the first one may each be rounded by up to a tick
SLACK_FRAMES = 0.02
MAX_ERROR_FRAMES = 0.35  # beyond this a neighbour is as near


@dataclass(frozen=True, slots=True)
class FrameNumbering:
    """Frames of ``rate`` a second, the first at ``origin``, in units of ``time_base`` seconds."""

    origin: int
    rate: Fraction
    time_base: Fraction

    @property
    def frames_per_tick(self) -> Fraction:
        """Frames in one unit of time."""
        return self.rate * self.time_base

    @property
    def tolerance(self) -> float:
        """How far from a whole number of frames a timestamp may lie."""
        return float(ROUNDING_TICKS * self.frames_per_tick) + SLACK_FRAMES

    @property
    def is_usable(self) -> bool:
        """Whether rounding leaves frames distinguishable."""
        return self.tolerance <= MAX_ERROR_FRAMES

    def number(self, timestamp: int) -> int:
        """The number of the frame shown at ``timestamp``."""
        return round((timestamp - self.origin) * self.frames_per_tick)

    def span(self, first: int, last: int) -> tuple[int, int]:
        """Timestamps that enclose the frames ``first`` to ``last`` and no others."""
        low = self.origin + (first - Fraction(1, 2)) / self.frames_per_tick
        high = self.origin + (last + Fraction(1, 2)) / self.frames_per_tick
        return int(low), int(high)

    def fits(self, timestamps: Iterable[int]) -> bool:
        """Whether every timestamp lies where a frame does."""
        return self._lie_at_frames(self._exact(timestamps))

    def is_regular(self, timestamps: Sequence[int]) -> bool:
        """Whether ``timestamps`` are those of frames with none missing and none doubled."""
        exact = self._exact(timestamps)
        # Where they fit, none is so near to a half that it matters which way that is rounded.
        return self._lie_at_frames(exact) and all(round(b) == round(a) + 1 for a, b in pairwise(exact))

    def _exact(self, timestamps: Iterable[int]) -> list[float]:
        """Timestamps in frames.

        In whole numbers: a product of fractions for each would cost more than reading its packet.
        """
        per_tick, origin = self.frames_per_tick, self.origin
        up, down = per_tick.numerator, per_tick.denominator
        return [(stamp - origin) * up / down for stamp in timestamps]

    def _lie_at_frames(self, exact: Iterable[float]) -> bool:
        tolerance = self.tolerance
        return all(abs(value - round(value)) <= tolerance for value in exact)
