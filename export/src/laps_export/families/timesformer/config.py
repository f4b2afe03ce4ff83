"""The numbers that define one TimeSformer, checked once."""

from __future__ import annotations

from dataclasses import dataclass

from laps_export.errors import ConfigError
from laps_export.families.whole_numbers import WholeNumbers, check_clips, check_positive

PATCH = 16
"""Side of a patch in pixels."""


@dataclass(frozen=True, kw_only=True)
class TimesformerConfig(WholeNumbers):
    """All that is needed to build a model.

    Attributes:
        frames: T, frames a clip.
        resolution: height and width of a frame in pixels, a multiple of 16.
        dim: C, width of a token.
        depth: blocks.
        heads: heads of every attention.
        classes: K.
    """

    frames: int = 8
    resolution: int = 224
    dim: int = 768
    depth: int = 12
    heads: int = 12
    classes: int = 400

    def __post_init__(self) -> None:
        """Raise `ConfigError` for numbers that no model can have."""
        check_positive(self)
        check_clips(self)
        if self.resolution % PATCH:
            raise ConfigError(
                f"resolution {self.resolution}", code="invalid_resolution", hint=f"it must be a multiple of {PATCH}"
            )
        if self.dim % self.heads:
            raise ConfigError(
                f"dim {self.dim} does not fit {self.heads} heads",
                code="invalid_dim",
                hint="it must be a multiple of the heads",
            )

    @property
    def places(self) -> int:
        """N, patches of a frame."""
        return (self.resolution // PATCH) ** 2
