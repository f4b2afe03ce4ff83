"""The network: tokens of all frames with one class token, attended to along time and within frames in turn.

Tokens are in one row, the class token first, then place by place: all frames of place 0, all of place 1, and so on.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from laps_export.families.clip_shape import check_clip_shape
from laps_export.families.timesformer.config import PATCH, TimesformerConfig
from laps_export.families.token_layers import Mlp, SelfAttention
from laps_export.families.vision_transformer import PatchEmbed

_EPS = 1e-6
_MLP_RATIO = 4


class Block(nn.Module):
    """Attention along time, attention within frames, MLP; each a residual."""

    def __init__(self, config: TimesformerConfig) -> None:
        super().__init__()
        dim = config.dim
        self.frames, self.places = config.frames, config.places
        self.temporal_norm1 = nn.LayerNorm(dim, eps=_EPS)
        self.temporal_attn = SelfAttention(dim, heads=config.heads)
        self.temporal_fc = nn.Linear(dim, dim)
        self.norm1 = nn.LayerNorm(dim, eps=_EPS)
        self.attn = SelfAttention(dim, heads=config.heads)
        self.norm2 = nn.LayerNorm(dim, eps=_EPS)
        self.mlp = Mlp(dim, _MLP_RATIO * dim)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, 1 + N*T, C]` to the same shape."""
        x = self._within_frames(x[:, :1], self._along_time(x[:, 1:]))
        mixed: Tensor = x + self.mlp(self.norm2(x))
        return mixed

    def _along_time(self, patches: Tensor) -> Tensor:
        """`[B, N*T, C]` to `[B, N, T, C]`: every place attends to itself in all frames."""
        rows: Tensor = patches.reshape(-1, self.frames, patches.shape[-1])  # [B*N, T, C]
        rows = rows + self.temporal_fc(self.temporal_attn(self.temporal_norm1(rows)))
        return rows.reshape(-1, self.places, self.frames, patches.shape[-1])

    def _within_frames(self, cls: Tensor, patches: Tensor) -> Tensor:
        """`[B, 1, C]` and `[B, N, T, C]` to `[B, 1 + N*T, C]`: every frame attends to itself and the class token."""
        frames, places, dim = self.frames, self.places, cls.shape[-1]
        copies = torch.cat([cls.unsqueeze(1)] * frames, dim=1)  # [B, T, 1, C]
        rows = torch.cat([copies, patches.transpose(1, 2)], dim=2).reshape(-1, 1 + places, dim)  # [B*T, 1 + N, C]
        found = self.attn(self.norm1(rows)).reshape(-1, frames, 1 + places, dim)  # [B, T, 1 + N, C]
        # What the class token's copies found is averaged; there is one class token a clip.
        cls = cls + found[:, :, 0].mean(1, keepdim=True)
        patches = patches + found[:, :, 1:].transpose(1, 2)  # [B, N, T, C]
        return torch.cat([cls, patches.reshape(-1, places * frames, dim)], dim=1)


class Timesformer(nn.Module):
    """Clips in, one answer a clip; names and shapes are those of the authors' checkpoints."""

    def __init__(self, config: TimesformerConfig) -> None:
        super().__init__()
        dim = config.dim
        self.config = config
        self.patch_embed = PatchEmbed(PATCH, dim)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + config.places, dim))
        self.time_embed = nn.Parameter(torch.zeros(1, config.frames, dim))
        self.blocks = nn.Sequential(*(Block(config) for _ in range(config.depth)))
        self.norm = nn.LayerNorm(dim, eps=_EPS)
        self.head = nn.Linear(dim, config.classes)

    def forward(self, clips: Tensor) -> Tensor:
        """Normalised RGB float clips `[B, T, 3, H, W]` to logits `[B, K]`.

        Raises:
            ConfigError: `invalid_input`, the clips are not of the model's shape.
        """
        check_clip_shape(clips, self.config)
        x = self.norm(self.blocks(self._tokens(clips)))  # [B, 1 + N*T, C]
        logits: Tensor = self.head(x[:, 0])
        return logits

    def _tokens(self, clips: Tensor) -> Tensor:
        """`[B, T, 3, H, W]` to `[B, 1 + N*T, C]`, with where and when each token is."""
        frames, places, dim = self.config.frames, self.config.places, self.config.dim
        patches = self.patch_embed(clips.flatten(0, 1)).reshape(-1, frames, places, dim)  # [B, T, N, C]
        patches = patches.transpose(1, 2).reshape(-1, places * frames, dim)  # [B, N*T, C]
        cls = self.cls_token + self.pos_embed[:, :1]  # [1, 1, C]
        where = self.pos_embed[:, 1:, None] + self.time_embed[:, None]  # [1, N, T, C]
        known = torch.cat([cls, where.reshape(1, places * frames, dim)], dim=1)  # [1, 1 + N*T, C]
        # Room for the class token by padding: its batch would be asked of the graph's input otherwise.
        return functional.pad(patches, (0, 0, 1, 0)) + known
