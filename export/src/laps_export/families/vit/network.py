"""A vision transformer on every frame; TokShift lets their class tokens see each other."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from laps_export.families.channel_shift import shift_tokens
from laps_export.families.clip_shape import check_clip_shape
from laps_export.families.vision_transformer import Block, VisionTransformer
from laps_export.families.vit.config import VitConfig


class ShiftBlock(Block):
    """A block whose residual stream shifts its class tokens along time, before attention and again before the MLP."""

    def __init__(self, config: VitConfig) -> None:
        super().__init__(config)
        self.frames = config.frames

    def forward(self, x: Tensor) -> Tensor:
        """`[B*T, L, C]` to the same shape."""
        x = shift_class_tokens(x, frames=self.frames)
        x = x + self.attn(self.norm1(x))
        x = shift_class_tokens(x, frames=self.frames)
        mixed: Tensor = x + self.mlp(self.norm2(x))
        return mixed


def shift_class_tokens(x: Tensor, *, frames: int) -> Tensor:
    """Shift the first token of every frame, `[B*T, L, C]`; those of the patches stay."""
    return torch.cat([shift_tokens(x[:, :1], frames=frames), x[:, 1:]], dim=1)


class Vit(VisionTransformer):
    """Frames in; logits a frame and the clip's mean class token out.

    `state_dict` names and shapes are those of the authors' checkpoints in one of their two namings.
    """

    def __init__(self, config: VitConfig) -> None:
        block = (lambda _: ShiftBlock(config)) if config.shift else None
        super().__init__(config, resolution=config.resolution, block=block)
        self.config = config
        self.head = nn.Linear(config.width, config.classes)

    def forward(self, clips: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised RGB float clips `[B, T, 3, R, R]` to frame logits `[B, T, K]` and an embedding `[B, C]`.

        Raises:
            ConfigError: `invalid_input`, the clips are not of the model's shape.
        """
        config = self.config
        check_clip_shape(clips, config)
        features = self.class_tokens(clips.flatten(0, 1)).reshape(-1, config.frames, config.width)  # [B, T, C]
        return self.head(features), features.mean(1)
