"""What a model and its request want of a video."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from laps_server.preprocess_rules import CropOffset, CropOrder, Interpolation, LongSide
from laps_server.view_grid import SamplingRule, ViewGrid

Thumbnails = Literal["none", "middle", "all"]

WHOLE_VIDEO_S = Fraction(2**62)  # a window that holds any video


@dataclass(frozen=True, slots=True)
class ExtractOptions:
    """What a model and its request want of a video; sizes in pixels.

    Attributes:
        grid: temporal and spatial views of every segment.
        frames, stride: T frames a clip, ``stride`` frames apart.
        short_side: length of the short side after the resize.
        crop_height, crop_width: size of every crop, at most ``short_side``.
        thumbnails: of which sampled frames of a segment a small JPEG is made.
        window_s: length of the segments that the video is cut into.
        early: whether somebody waits for the first clip. Decoder and engine then work side by side from the first on,
            which takes a few per cent more of processors that they share.
        sampling: by which rule clips are placed in a segment's time.
        long_side, interpolation: of the resize.
        crop_order, crop_offset: which of three crops is which, and how the centre's offset is rounded.
    """

    grid: ViewGrid
    frames: int
    stride: int
    short_side: int
    crop_height: int
    crop_width: int
    thumbnails: Thumbnails = "none"
    window_s: Fraction = WHOLE_VIDEO_S
    sampling: SamplingRule = "laps_uniform"
    early: bool = True
    long_side: LongSide = "floor"
    interpolation: Interpolation = "bilinear"
    crop_order: CropOrder = "along"
    crop_offset: CropOffset = "up"

    def __post_init__(self) -> None:
        if min(self.frames, self.stride, self.crop_height, self.crop_width) < 1:
            raise ValueError(f"frames, stride and crop must be at least 1, not {self}")
        if max(self.crop_height, self.crop_width) > self.short_side:
            raise ValueError(
                f"a crop of {self.crop_width}x{self.crop_height} does not fit in a short side of {self.short_side}"
            )
