"""The video model: a Visformer applied to every frame, whose attention looks across frames."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from laps_export.families.clip_shape import check_clip_shape
from laps_export.families.laps.attention import Attention
from laps_export.families.laps.config import STRIDES, LapsConfig
from laps_export.families.laps.layers import AttentionBlock, BatchNorm, ConvBlock, PatchEmbed


class Laps(nn.Module):
    """Frames in, logits a frame out; clip logits are their mean over frames.

    `state_dict` names and shapes are those of the authors' checkpoints.
    """

    def __init__(self, config: LapsConfig) -> None:
        super().__init__()
        self.config = config
        embed, stem = config.embed_dim, config.stem_channels
        widths = (embed // 2, embed, 2 * embed)
        self.stem = nn.Sequential(
            nn.Conv2d(3, stem, 7, stride=STRIDES[0], padding=3, bias=False), BatchNorm(stem), nn.ReLU()
        )
        self.patch_embed1 = PatchEmbed(STRIDES[1], stem, widths[0])
        self.patch_embed2 = PatchEmbed(STRIDES[2], widths[0], widths[1])
        self.patch_embed3 = PatchEmbed(STRIDES[3], widths[1], widths[2])
        self.pos_embed1 = nn.Parameter(torch.zeros(1, widths[0], config.grid[0], config.grid[0]))
        self.pos_embed2 = nn.Parameter(torch.zeros(1, widths[1], config.grid[1], config.grid[1]))
        self.pos_embed3 = nn.Parameter(torch.zeros(1, widths[2], config.grid[2], config.grid[2]))
        self.stage1 = nn.Sequential(*(ConvBlock(widths[0]) for _ in range(config.depths[0])))
        self.stage2 = self._attention_stage(widths[1], config.depths[1], config.levels[0])
        self.stage3 = self._attention_stage(widths[2], config.depths[2], config.levels[1])
        self.norm = BatchNorm(widths[2])
        self.head = nn.Linear(widths[2], config.classes)

    def _attention_stage(self, dim: int, depth: int, levels: tuple[int, ...]) -> nn.Sequential:
        config = self.config
        return nn.Sequential(
            *(
                AttentionBlock(
                    Attention(dim, heads=config.heads, frames=config.frames, kind=config.attention, level=level),
                    dim,
                )
                for level in levels or (0,) * depth
            )
        )

    def forward(self, clips: Tensor) -> Tensor:
        """Normalised RGB float clips `[B, T, 3, H, W]` to frame logits `[B, T, K]`.

        Raises:
            ConfigError: `invalid_input`, the clips are not of the model's shape.
        """
        config = self.config
        check_clip_shape(clips, config)
        x = clips.flatten(0, 1)  # [B*T, 3, H, W]
        x = self.stage1(self.patch_embed1(self.stem(x)) + self.pos_embed1)
        x = self.stage2(self.patch_embed2(x) + self.pos_embed2)
        x = self.stage3(self.patch_embed3(x) + self.pos_embed3)
        # Without contiguous() torch exports the pool as index arithmetic on the memory's strides.
        x = functional.adaptive_avg_pool2d(self.norm(x).contiguous(), 1).flatten(1)  # [B*T, 2E]
        logits: Tensor = self.head(x)
        return logits.reshape(-1, config.frames, config.classes)
