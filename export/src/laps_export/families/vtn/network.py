"""The video network: a vision transformer on every frame, then layers over the frames."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from laps_export.families.clip_shape import check_clip_shape
from laps_export.families.vision_transformer import VisionTransformer
from laps_export.families.vtn.config import VtnConfig
from laps_export.families.vtn.temporal_encoder import TemporalEncoder

FRAMES_AT_ONCE = 50
"""A clip of 250 frames would hold gigabytes of attention and hidden layers."""


class Backbone(VisionTransformer):
    """Pictures `[N, 3, R, R]` to `[N, C]`."""

    def forward(self, pictures: Tensor) -> Tensor:
        """Their class tokens."""
        return self.class_tokens(pictures)


class Vtn(nn.Module):
    """Clips in; one answer a clip and its class token out.

    `state_dict` names and shapes are those of the authors' checkpoints.
    """

    def __init__(self, config: VtnConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.backbone = Backbone(config, resolution=config.resolution)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.temporal_encoder = TemporalEncoder(config)
        # The authors' class drops out where nothing stands here.
        self.mlp_head = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Identity(), nn.Linear(width, config.classes)
        )

    def forward(self, clips: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised RGB float clips `[B, T, 3, R, R]` to logits `[B, K]` and an embedding `[B, C]`.

        Raises:
            ConfigError: `invalid_input`, the clips are not of the model's shape.
        """
        config = self.config
        check_clip_shape(clips, config)
        parts = [clips[:, start : start + FRAMES_AT_ONCE] for start in range(0, config.frames, FRAMES_AT_ONCE)]
        features = [self.backbone(part.flatten(0, 1)).reshape(-1, part.shape[1], config.width) for part in parts]
        encoded = self.temporal_encoder(torch.cat(features, dim=1), self.cls_token)  # [B, 1 + T, C]
        first = encoded[:, 0]
        return self.mlp_head(first), first
