"""The one check of a network's input: a reshape would take another number of frames for more clips."""

from __future__ import annotations

from torch import Tensor

from laps_export.errors import ConfigError
from laps_export.families.family import ModelConfig


def check_clip_shape(clips: Tensor, config: ModelConfig) -> None:
    """Raise `ConfigError` `invalid_input` unless clips are `[B, T, 3, R, R]`."""
    wanted = (config.frames, 3, config.resolution, config.resolution)
    if clips.dim() != 5 or tuple(clips.shape[1:]) != wanted:
        raise ConfigError(
            f"clips have shape {list(clips.shape)}",
            code="invalid_input",
            hint=f"this model takes [B, {', '.join(map(str, wanted))}]",
        )
