"""The numbers that define one MViT, checked once."""

from __future__ import annotations

from dataclasses import dataclass

from laps_export.errors import ConfigError
from laps_export.families.whole_numbers import WholeNumbers, check_clips, check_positive

PATCH_STRIDE = (2, 4, 4)
"""Frames, rows and columns of pixels from one token to the next."""

_WIDENING = (0, 2, 13)
"""Blocks whose MLP doubles the width; the block after each has twice the heads and a quarter of the queries."""

_FIRST_KEY_STRIDE = 8
"""By so much the first block's keys and values are fewer along height and width; halved where heads are doubled."""


@dataclass(frozen=True, kw_only=True)
class MvitConfig(WholeNumbers):
    """All that is needed to build a model.

    Attributes:
        frames: T, frames a clip, even.
        resolution: height and width of a frame in pixels, a multiple of 32.
        head_dim: width of a head, and of the first block's tokens.
        blocks: how many.
        key_pools: how many of them, from the first, pool keys and values.
        classes: K.
    """

    frames: int = 16
    resolution: int = 224
    head_dim: int = 96
    blocks: int = 16
    key_pools: int = 16
    classes: int = 400

    def __post_init__(self) -> None:
        """Raise `ConfigError` for numbers that no model can have."""
        check_positive(self)
        check_clips(self)
        if self.frames % PATCH_STRIDE[0]:
            raise ConfigError(f"frames is {self.frames}", code="invalid_frames", hint="it must be even")
        unit = PATCH_STRIDE[1] * _FIRST_KEY_STRIDE
        if self.resolution % unit:
            raise ConfigError(
                f"resolution {self.resolution}", code="invalid_resolution", hint=f"it must be a multiple of {unit}"
            )
        strided = next((block for block in range(self.blocks) if self.key_stride(block) == 1), self.blocks)
        if not strided <= self.key_pools <= self.blocks:
            raise ConfigError(
                f"key_pools is {self.key_pools}", code="invalid_key_pools", hint=f"{strided} to {self.blocks}"
            )

    @property
    def steps(self) -> int:
        """Tokens along time."""
        return self.frames // PATCH_STRIDE[0]

    @property
    def side(self) -> int:
        """Tokens along height, and along width, of the first block."""
        return self.resolution // PATCH_STRIDE[1]

    @property
    def width(self) -> int:
        """Channels of a token behind the last block."""
        return self.head_dim * self.heads(self.blocks)

    def heads(self, block: int) -> int:
        """Heads of a block's attention."""
        return 1 << sum(before < block for before in _WIDENING)

    def grid(self, block: int) -> tuple[int, int, int]:
        """Tokens along time, height and width that a block is given, the class token aside."""
        side = self.side // 2 ** sum(before + 1 < block for before in _WIDENING)
        return self.steps, side, side

    def widens(self, block: int) -> bool:
        """Whether a block doubles the width."""
        return block in _WIDENING

    def pools_queries(self, block: int) -> bool:
        """Whether a block halves the tokens along height and width."""
        return block - 1 in _WIDENING

    def key_stride(self, block: int) -> int:
        """Step along height and width of the pools of a block's keys and values."""
        return _FIRST_KEY_STRIDE // self.heads(block)
