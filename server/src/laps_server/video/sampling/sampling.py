"""What a model wants along time, and what a stream's timestamps mean in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from laps_server.video.frame_numbering import ROUNDING_TICKS
from laps_server.view_grid import SamplingRule

RATE_SHARE = Fraction(1, 100)  # by which a declared rate may differ from the one that was found
_RATE_OF_ONE_FRAME = Fraction(25)  # any would do


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
class Clock:
    """A stream's unit of time in seconds, and the frames a second that its header declares."""

    time_base: Fraction
    declared_rate: Fraction | None

    def rate(self, count: int, span: int) -> Fraction:
        """Frames a second of ``count`` frames, the last ``span`` after the first.

        It is the frames' own. The declared one stands for it where that is what they show but for a hundredth or for
        the rounding of their times, because a clip's length in frames is truncated: 29.999 is not 30 then::

            30 fps in milliseconds   0  33  67 100      3 frames in 0.100 s: 30, which is declared
            10 frames in 0.633 s                        14.2, whatever is declared
        """
        if count < 2 or span <= 0:
            return self.declared_rate or _RATE_OF_ONE_FRAME
        span_s, declared = span * self.time_base, self.declared_rate
        if declared is not None:
            tolerance_s = max(RATE_SHARE * span_s, Fraction(ROUNDING_TICKS) * self.time_base)
            if abs((count - 1) / declared - span_s) <= tolerance_s:
                return declared
        return (count - 1) / span_s


def is_steady(timestamps: Sequence[int], tolerance_ticks: float = ROUNDING_TICKS) -> bool:
    """Whether frames shown at increasing ``timestamps`` are evenly spaced but for the rounding of their times.

    ::

        30 fps in milliseconds   0  33  67 100 133      every one within a tick of 0, 33.25, 66.5, 99.75, 133
    """
    times = np.asarray(timestamps, dtype=np.int64)
    times = times - times[0]
    even = np.linspace(0.0, float(times[-1]), len(times))
    return bool(np.abs(times - even).max() <= tolerance_ticks)
