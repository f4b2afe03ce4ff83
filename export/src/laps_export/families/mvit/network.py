"""The network: 16 blocks over the tokens of a clip and one class token, which become fewer and wider on the way."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from laps_export.families.clip_shape import check_clip_shape
from laps_export.families.mvit.attention import EPS, PooledAttention, PooledSkip
from laps_export.families.mvit.config import PATCH_STRIDE, MvitConfig
from laps_export.families.token_layers import Mlp

_MLP_RATIO = 4


class PatchEmbed(nn.Module):
    """Overlapping boxes of pixels, each to one token."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv3d(3, dim, (3, 7, 7), stride=PATCH_STRIDE, padding=(1, 3, 3))

    def forward(self, clips: Tensor) -> Tensor:
        """`[B, 3, T, H, W]` to `[B, T/2 * H/4 * W/4, C]`."""
        tokens: Tensor = self.proj(clips)
        return tokens.flatten(2).transpose(1, 2)


class Block(nn.Module):
    """Attention, then an MLP; the residual around each follows what it does to tokens and width."""

    def __init__(self, config: MvitConfig, block: int) -> None:
        super().__init__()
        dim = config.head_dim * config.heads(block)
        wider = 2 * dim if config.widens(block) else dim
        self.norm1 = nn.LayerNorm(dim, eps=EPS)
        self.attn = PooledAttention(config, block)
        self.skip = PooledSkip(config.grid(block)) if config.pools_queries(block) else nn.Identity()
        self.norm2 = nn.LayerNorm(dim, eps=EPS)
        self.mlp = Mlp(dim, _MLP_RATIO * dim, wider)
        self.proj = nn.Linear(dim, wider) if wider != dim else None

    def forward(self, x: Tensor) -> Tensor:
        """`[B, 1 + N, C]` to `[B, 1 + N or N/4, C or 2*C]`."""
        x = self.skip(x) + self.attn(self.norm1(x))
        normed = self.norm2(x)
        # Of the normed tokens, not of the stream as elsewhere.
        kept = x if self.proj is None else self.proj(normed)
        mixed: Tensor = kept + self.mlp(normed)
        return mixed


class Head(nn.Module):
    """The last layer, under the name that checkpoints have."""

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        self.projection = nn.Linear(dim, classes)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C]` to `[B, K]`."""
        logits: Tensor = self.projection(x)
        return logits


class Mvit(nn.Module):
    """Clips in, one answer a clip; names and shapes are those of the authors' checkpoints."""

    def __init__(self, config: MvitConfig) -> None:
        super().__init__()
        dim = config.head_dim
        self.config = config
        self.patch_embed = PatchEmbed(dim)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed_spatial = nn.Parameter(torch.zeros(1, config.side**2, dim))
        self.pos_embed_temporal = nn.Parameter(torch.zeros(1, config.steps, dim))
        self.pos_embed_class = nn.Parameter(torch.zeros(1, 1, dim))
        self.blocks = nn.Sequential(*(Block(config, block) for block in range(config.blocks)))
        self.norm = nn.LayerNorm(config.width, eps=EPS)
        self.head = Head(config.width, config.classes)

    def forward(self, clips: Tensor) -> Tensor:
        """Normalised RGB float clips `[B, T, 3, H, W]` to logits `[B, K]`.

        Raises:
            ConfigError: `invalid_input`, the clips are not of the model's shape.
        """
        check_clip_shape(clips, self.config)
        x = self.norm(self.blocks(self._tokens(clips)))  # [B, 1 + N, C]
        logits: Tensor = self.head(x[:, 0])
        return logits

    def _tokens(self, clips: Tensor) -> Tensor:
        """`[B, T, 3, H, W]` to `[B, 1 + T/2 * H/4 * W/4, C]`, with where and when each token is."""
        x = self.patch_embed(clips.transpose(1, 2))
        where = self.pos_embed_temporal[:, :, None] + self.pos_embed_spatial[:, None]  # [1, T/2, H/4 * W/4, C]
        known = torch.cat([self.cls_token + self.pos_embed_class, where.flatten(1, 2)], dim=1)  # [1, 1 + N, C]
        # Room for the class token by padding: its batch would be asked of the graph's input otherwise.
        return functional.pad(x, (0, 0, 1, 0)) + known
