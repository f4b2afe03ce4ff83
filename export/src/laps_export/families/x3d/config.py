"""The numbers that define one X3D, checked once."""

from __future__ import annotations

import math
from dataclasses import dataclass

from laps_export.errors import ConfigError
from laps_export.families.whole_numbers import WholeNumbers, check_clips, check_positive

_SHRINKING = 32
"""Pixels along height, and along width, to one place of the last stage."""

_STAGES = 4


@dataclass(frozen=True, kw_only=True)
class X3DConfig(WholeNumbers):
    """All that is needed to build a model; the tuples have a number for each stage.

    Attributes:
        frames: T, frames a clip.
        resolution: height and width of a frame in pixels.
        trained_at: the resolution of training: the head looks at windows of so many pixels, and there are several
            where clips are larger.
        stem: channels of the first layer.
        blocks: residual blocks.
        outer: channels behind a block.
        inner: channels inside of a block, and of the head where they are the last stage's.
        squeezed: channels of what tells a block's channels how much they count.
        head: channels of the last hidden layer.
        first_norm: whether the shortcut of the first stage has a batch norm: the authors' has, pytorchvideo's not.
        classes: K.
    """

    frames: int = 16
    resolution: int = 356
    trained_at: int = 312
    stem: int = 24
    blocks: tuple[int, ...] = (5, 10, 25, 15)
    outer: tuple[int, ...] = (24, 48, 96, 192)
    inner: tuple[int, ...] = (54, 108, 216, 432)
    squeezed: tuple[int, ...] = (8, 8, 16, 32)
    head: int = 2048
    first_norm: bool = True
    classes: int = 400

    def __post_init__(self) -> None:
        """Raise `ConfigError` for numbers that no model can have."""
        check_positive(self)
        check_clips(self)
        if self.trained_at > self.resolution:
            raise ConfigError(
                f"trained_at is {self.trained_at}",
                code="invalid_trained_at",
                hint=f"a frame has {self.resolution} pixels",
            )
        for name in ("blocks", "outer", "inner", "squeezed"):
            value = getattr(self, name)
            if len(value) != _STAGES:
                raise ConfigError(f"{name} is {value}", code=f"invalid_{name}", hint=f"{_STAGES} stages are known")

    @property
    def window(self) -> int:
        """Places along height, and along width, that the head looks at."""
        return math.ceil(self.trained_at / _SHRINKING)
