"""The numbers that define one SlowFast, checked once."""

from __future__ import annotations

from dataclasses import dataclass

from laps_export.errors import ConfigError
from laps_export.families.whole_numbers import WholeNumbers, check_clips, check_positive

FRAMES_A_STEP = 4
"""Frames of the fast pathway to one of the slow."""

NARROWER = 8
"""How many times fewer channels the fast pathway has."""

_SHRINKING = 32
"""Pixels along height, and along width, to one place of the last stage."""

_STAGES = 4
_NON_LOCAL_EVERY = 7


@dataclass(frozen=True, kw_only=True)
class SlowFastConfig(WholeNumbers):
    """All that is needed to build a model.

    Attributes:
        frames: T, frames a clip, a multiple of 4.
        resolution: height and width of a frame in pixels, a multiple of 32.
        trained_at: the resolution of training: the head looks at windows of so many pixels, and there are several
            where clips are larger.
        width: channels of the slow pathway's first layer, a multiple of 8.
        blocks: residual blocks, stage by stage.
        fusion_kernel: frames of the fast pathway that are seen by one step of the slow, odd.
        res4_temporal: how many of the third stage's blocks, from the first, look along time.
        non_local: whether every seventh block of the slow pathway's third stage is followed by a non-local one.
        classes: K.
    """

    frames: int = 32
    resolution: int = 256
    trained_at: int = 224
    width: int = 64
    blocks: tuple[int, ...] = (3, 4, 6, 3)
    fusion_kernel: int = 7
    res4_temporal: int = 6
    non_local: bool = False
    classes: int = 400

    def __post_init__(self) -> None:
        """Raise `ConfigError` for numbers that no model can have."""
        check_positive(self)
        check_clips(self)
        for name, value, unit in (
            ("frames", self.frames, FRAMES_A_STEP),
            ("resolution", self.resolution, _SHRINKING),
            ("trained_at", self.trained_at, _SHRINKING),
            ("width", self.width, NARROWER),
        ):
            if value % unit:
                raise ConfigError(f"{name} is {value}", code=f"invalid_{name}", hint=f"it must be a multiple of {unit}")
        if self.trained_at > self.resolution:
            raise ConfigError(
                f"trained_at is {self.trained_at}",
                code="invalid_trained_at",
                hint=f"a frame has {self.resolution} pixels",
            )
        if len(self.blocks) != _STAGES:
            raise ConfigError(f"blocks is {self.blocks}", code="invalid_blocks", hint=f"{_STAGES} stages are known")
        if self.fusion_kernel % 2 == 0:
            raise ConfigError(
                f"fusion_kernel is {self.fusion_kernel}", code="invalid_fusion_kernel", hint="it must be odd"
            )

    @property
    def slow_frames(self) -> tuple[int, ...]:
        """Frames of the clip that the slow pathway sees: spread from the first to the last, not every fourth."""
        count = self.frames // FRAMES_A_STEP
        return tuple(step * (self.frames - 1) // max(1, count - 1) for step in range(count))

    @property
    def window(self) -> int:
        """Places along height, and along width, that the head looks at."""
        return self.trained_at // _SHRINKING

    def looks_along_time(self, *, stage: int, block: int, fast: bool) -> bool:
        """Whether a block's first convolution has three frames; stages count from 0."""
        if stage == 2:
            return block < self.res4_temporal
        return fast or stage == 3

    def is_followed_by_non_local(self, *, stage: int, block: int) -> bool:
        """Whether a block of the slow pathway is."""
        return self.non_local and stage == 2 and block % _NON_LOCAL_EVERY == _NON_LOCAL_EVERY - 1
