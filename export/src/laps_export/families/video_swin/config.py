"""The numbers that define one Video Swin, checked once."""

from __future__ import annotations

from dataclasses import dataclass

from laps_export.errors import ConfigError
from laps_export.families.whole_numbers import WholeNumbers, check_clips, check_positive

PATCH = (2, 4, 4)
"""Frames, height and width of what becomes one token."""

WINDOW = (8, 7, 7)
"""Steps, height and width of a window in tokens."""

Size = tuple[int, int, int]
"""Along time, height and width."""


@dataclass(frozen=True, kw_only=True)
class VideoSwinConfig(WholeNumbers):
    """All that is needed to build a model.

    Attributes:
        frames: T, frames a clip: a multiple of 2, and of 16 where there are more than 16.
        resolution: height and width of a frame in pixels; windows must tile every stage's tokens.
        dim: C, width of the first stage; each next stage is twice as wide.
        depths: blocks of each stage.
        heads: heads of the attention in each stage.
        classes: K.
    """

    frames: int = 32
    resolution: int = 224
    dim: int = 128
    depths: tuple[int, ...] = (2, 2, 18, 2)
    heads: tuple[int, ...] = (4, 8, 16, 32)
    classes: int = 400

    def __post_init__(self) -> None:
        """Raise `ConfigError` for numbers that no model can have."""
        check_positive(self)
        check_clips(self)
        if len(self.heads) != len(self.depths):
            raise ConfigError(f"{len(self.heads)} numbers of heads for {len(self.depths)} stages", code="invalid_heads")
        for stage, heads in enumerate(self.heads):
            if self.width(stage) % heads:
                raise ConfigError(f"width {self.width(stage)} does not fit {heads} heads", code="invalid_dim")
        self._check_tiling()

    @property
    def steps(self) -> int:
        """Tokens along time."""
        return self.frames // PATCH[0]

    def width(self, stage: int) -> int:
        """Channels of a token in a stage."""
        return self.dim << stage

    def grid(self, stage: int) -> Size:
        """Tokens of a stage."""
        side = self.resolution // PATCH[1] // 2**stage
        return self.steps, side, side

    def _check_tiling(self) -> None:
        """The authors pad where windows do not tile the tokens; none of their models needs it."""
        if self.frames % PATCH[0]:
            raise ConfigError(f"frames is {self.frames}", code="invalid_frames", hint="it must be even")
        if self.resolution % (PATCH[1] * 2 ** (len(self.depths) - 1)):
            raise ConfigError(f"resolution {self.resolution} cannot be halved so often", code="invalid_resolution")
        codes = ("invalid_frames", "invalid_resolution", "invalid_resolution")
        for stage in range(len(self.depths)):
            for count, window, code in zip(self.grid(stage), WINDOW, codes, strict=True):
                if count > window and count % window:
                    raise ConfigError(
                        f"windows of {window} do not tile the {count} tokens of stage {stage}",
                        code=code,
                        hint="the published models have 32 frames of 224 pixels",
                    )
