"""Which moments of a video one clip shows, as the server picks them by the rule of the authors.

T positions from 0 to stride * T - 1 inclusive, truncated to whole frames: their distances are not all equal,
and a video shorter than the clip starts again. Models must have seen both. By `uniform_in_order`, which this
recipe's models are served with, only clips of short videos differ: none starts again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from laps_export.data.arrays import Floats
from laps_export.errors import DataError

_RATES = (10.0, 12.0, 15.0, 20.0, 24000 / 1001, 24.0, 25.0, 30000 / 1001, 30.0, 48.0, 50.0, 60.0)
_RATE_WEIGHTS = (0.02, 0.03, 0.07, 0.04, 0.06, 0.15, 0.2, 0.12, 0.21, 0.02, 0.03, 0.05)
_WRAPPED_SHARE = 0.03
_REPEATED_SHARE = 0.05  # of videos whose content has fewer pictures a second than the file


@dataclass(frozen=True)
class Timing:
    """The moments of one clip.

    Attributes:
        numbers: `[T]` frame numbers counted from the clip's start, not decreasing unless the video wraps.
        times_s: `[T]` what the frames show, seconds from the clip's start.
        rate: frames of the video a second.
        length: frames of the video that the clip spans.
    """

    numbers: NDArray[np.int64]
    times_s: Floats
    rate: float
    length: int

    @property
    def span_s(self) -> float:
        """From the first to the last moment shown."""
        return float(self.times_s.max() - self.times_s.min())

    @property
    def spacing_s(self) -> float:
        """From one sampled frame to the next, on average over a clip that does not wrap."""
        return float((self.length - 1) / self.rate / (len(self.numbers) - 1))


def positions(frames: int, stride: int, window: int) -> NDArray[np.int64]:
    """`[T]` positions in a window of `window` frames: evenly spaced, wrapped, truncated.

    T = 8, stride = 4, window 33:  0 4 8 13 17 22 26 31
    """
    values = np.linspace(0.0, stride * frames - 1.0, frames)
    return np.minimum(np.mod(values, window).astype(np.int64), window - 1)


def draw_timing(rng: np.random.Generator, *, frames: int, stride: int) -> Timing:
    """The moments of a clip of a video of ordinary frame rate.

    Raises:
        DataError: `invalid_timing`, fewer than two frames or a stride below 1.
    """
    if frames < 2 or stride < 1:
        raise DataError(f"{frames} frames at stride {stride}", code="invalid_timing", hint="at least 2 and 1")
    rate = float(rng.choice(_RATES, p=_RATE_WEIGHTS))
    length = frames * stride
    window = length + 1
    if rng.random() < _WRAPPED_SHARE:
        window = int(rng.integers(max(2, length // 3), length))
    numbers = positions(frames, stride, window)
    times = numbers / rate
    if rng.random() < _REPEATED_SHARE:
        shown = rate / rng.choice((1.25, 2.0, 2.5))
        times = np.floor(times * shown + rng.random()) / shown
    return Timing(numbers=numbers, times_s=times - times.min(), rate=rate, length=length)
