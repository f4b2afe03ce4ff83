"""The numbers that define one TDN, checked once."""

from __future__ import annotations

from dataclasses import dataclass

from laps_export.errors import ConfigError
from laps_export.families.whole_numbers import WholeNumbers, check_clips, check_positive

SEGMENT_FRAMES = 5
"""Consecutive frames of a segment; the third is its picture."""

EXPANSION = 4
"""A block's output has so many times its width in channels."""

MOTION_REDUCTION = 16
"""Differences of segments are computed with so many times fewer channels."""

_STAGES = 4
_SIDE_UNIT = 32
"""The last stage has so many times fewer rows and columns than the picture."""

_EQUAL_SHARES = 8
"""Where there are so many segments, picture and differences weigh the same: the authors' published rule."""


@dataclass(frozen=True, kw_only=True)
class TdnConfig(WholeNumbers):
    """All that is needed to build a model.

    Attributes:
        segments: T, segments a clip.
        resolution: height and width of a frame in pixels, a multiple of 32.
        width: of the first stage's blocks; doubled from stage to stage.
        blocks: of the four stages.
        contextualised: GC-TDN's: every block scales its channels by what surrounds them.
        classes: K.
    """

    segments: int = 8
    resolution: int = 256
    width: int = 64
    blocks: tuple[int, ...] = (3, 4, 6, 3)
    contextualised: bool = False
    classes: int = 400

    def __post_init__(self) -> None:
        """Raise `ConfigError` for numbers that no model can have."""
        check_positive(self)
        check_clips(self)
        if len(self.blocks) != _STAGES:
            raise ConfigError(f"blocks of {len(self.blocks)} stages", code="invalid_blocks", hint=f"one of {_STAGES}")
        # The last differences are looked at from half as near too, so they are not one place only.
        if self.resolution % _SIDE_UNIT or self.resolution < 2 * _SIDE_UNIT:
            raise ConfigError(
                f"resolution {self.resolution}",
                code="invalid_resolution",
                hint=f"it must be a multiple of {_SIDE_UNIT}, and at least {2 * _SIDE_UNIT}",
            )
        if self.width % (MOTION_REDUCTION // 2):
            raise ConfigError(
                f"width {self.width}", code="invalid_width", hint=f"it must be a multiple of {MOTION_REDUCTION // 2}"
            )

    @property
    def frames(self) -> int:
        """Frames a clip."""
        return SEGMENT_FRAMES * self.segments

    @property
    def picture_share(self) -> float:
        """What the picture's features weigh where differences of frames are added; these weigh the rest."""
        return 0.5 if self.segments == _EQUAL_SHARES else 0.75

    def side(self, stage: int) -> int:
        """Rows, and columns, of the features behind a stage, 0 to 3."""
        return self.resolution // (4 << stage)
