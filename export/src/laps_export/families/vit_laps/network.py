"""A vision transformer on every frame, whose tokens attend in pairs of frames and shift along time in every head."""

from __future__ import annotations

from torch import Tensor, nn

from laps_export.families.channel_shift import shift_tokens
from laps_export.families.clip_shape import check_clip_shape
from laps_export.families.leap_pairing import LeapPairing
from laps_export.families.token_layers import SelfAttention
from laps_export.families.vision_transformer import Block, VisionTransformer
from laps_export.families.vit_laps.config import VitLapsConfig


class LeapAttention(SelfAttention):
    """One softmax over all tokens of a leap pair, class tokens included; then a periodic shift, before `proj`."""

    def __init__(self, config: VitLapsConfig, level: int) -> None:
        super().__init__(config.width, heads=config.heads)
        self.frames = config.frames
        self.pairing = LeapPairing(config.frames, level)

    def mix(self, x: Tensor) -> Tensor:
        """`[B*T, L, C]` to the same shape."""
        tokens, width = x.shape[1:]
        paired = super().mix(self.pairing.pair(x).reshape(-1, 2 * tokens, width))  # [B*T/2, 2L, C]
        mixed = self.pairing.unpair(paired.reshape(-1, tokens, width))  # [B*T, L, C]
        return shift_tokens(mixed, frames=self.frames, groups=self.heads)


class VitLaps(VisionTransformer):
    """Frames in; logits a frame and the clip's mean class token out."""

    def __init__(self, config: VitLapsConfig) -> None:
        levels = config.levels

        def block(number: int) -> Block:
            return Block(config, attention=LeapAttention(config, levels[number % len(levels)]))

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
