"""A frame of the video that views use, and what one view shows of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SampledFrame:
    """One distinct frame of the video that at least one view uses.

    ``index`` is the frame's number in presentation order from 0, None where it is not known without decoding
    everything before it. ``pts`` is in stream time base units relative to the stream's first frame;
    ``time_s`` the same in seconds.
    """

    index: int | None
    pts: int
    time_s: float


@dataclass(frozen=True, slots=True)
class CropBox:
    """A crop in the resized, upright frame, in pixels."""

    x: int
    y: int
    width: int
    height: int
