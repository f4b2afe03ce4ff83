"""The numbers that define one network of the family, checked once."""

from __future__ import annotations

from dataclasses import dataclass

from laps_export.errors import ConfigError
from laps_export.families.channel_shift import SHIFT_FOLDS
from laps_export.families.leap_pairing import leap_pairs
from laps_export.families.vision_transformer import VisionTransformerSize
from laps_export.families.whole_numbers import check_clips, check_positive


@dataclass(frozen=True, kw_only=True)
class VitLapsConfig(VisionTransformerSize):
    """All that is needed to build a network.

    Attributes:
        frames: T, frames a clip.
        resolution: height and width of a frame in pixels.
        levels: leap levels of the first blocks; the blocks behind them begin again with the first.
        classes: K.
    """

    frames: int = 8
    resolution: int = 224
    levels: tuple[int, ...] = (1, 2, 3, 1)
    classes: int = 400

    def __post_init__(self) -> None:
        """Raise `ConfigError` for numbers that no network can have."""
        check_positive(self)
        check_clips(self)
        if self.width % (SHIFT_FOLDS * self.heads):
            raise ConfigError(
                f"width {self.width} does not fit {self.heads} heads",
                code="invalid_width",
                hint=f"it must be a multiple of {SHIFT_FOLDS * self.heads} (4 x heads)",
            )
        if self.resolution < self.patch:
            raise ConfigError(f"resolution {self.resolution} holds no patch", code="invalid_resolution")
        for level in self.levels:
            leap_pairs(self.frames, level)
