"""Attention whose queries, keys and values are pooled over the clip's tokens before they meet.

Rows of tokens are `[B, 1 + T*H*W, C]`, the class token first; pools leave it out and put it back.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from laps_export.families.mvit.config import MvitConfig

EPS = 1e-6
"""Of every norm of the network."""

_MAX_SCORES = 2**26
"""Scores of a view that are held at once (256 MB): 64 frames have 315 million of them in one block."""

Grid = tuple[int, int, int]


class PooledAttention(nn.Module):
    """Multi-head attention; all heads share the weights of their pools."""

    def __init__(self, config: MvitConfig, block: int) -> None:
        super().__init__()
        width, self.heads = config.head_dim, config.heads(block)
        self.grid = config.grid(block)
        self.scale = width**-0.5
        self.qkv = nn.Linear(width * self.heads, 3 * width * self.heads)
        self.proj = nn.Linear(width * self.heads, width * self.heads)
        self.pool_q, self.norm_q = _pool(width, 2 if config.pools_queries(block) else None)
        key_stride = config.key_stride(block) if block < config.key_pools else None
        self.pool_k, self.norm_k = _pool(width, key_stride)
        self.pool_v, self.norm_v = _pool(width, key_stride)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, 1 + T*H*W, C]` to the same, or with a quarter of the tokens where queries are pooled."""
        tokens, dim = x.shape[1:]
        qkv = self.qkv(x).reshape(-1, tokens, 3, self.heads, dim // self.heads)  # [B, N, 3, h, d]
        q, k, v = (qkv[:, :, part].transpose(1, 2) for part in range(3))  # each [B, h, N, d]
        q = self._pooled(q, self.pool_q, self.norm_q) * self.scale  # [B, h, Nq, d]
        k = self._pooled(k, self.pool_k, self.norm_k).transpose(-2, -1)  # [B, h, d, Nk]
        v = self._pooled(v, self.pool_v, self.norm_v)  # [B, h, Nk, d]
        # In slices of queries, each of which attends for itself: the same numbers in a fraction of the memory.
        rows = max(1, _MAX_SCORES // (self.heads * v.shape[2]))
        slices = (q[:, :, first : first + rows] for first in range(0, q.shape[2], rows))
        mixed = torch.cat([(part @ k).softmax(-1) @ v for part in slices], dim=2)  # [B, h, Nq, d]
        projected: Tensor = self.proj(mixed.transpose(1, 2).reshape(-1, mixed.shape[2], dim))
        return projected

    def _pooled(self, x: Tensor, pool: nn.Conv3d | None, norm: nn.LayerNorm | None) -> Tensor:
        """`[B, h, N, d]` to `[B, h, fewer, d]`."""
        if pool is None or norm is None:
            return x
        heads, width = x.shape[1], x.shape[-1]
        cls, tokens = x[:, :, :1], x[:, :, 1:]
        maps = tokens.transpose(2, 3).reshape(-1, width, *self.grid)  # [B*h, d, T, H, W]
        tokens = pool(maps).flatten(2).reshape(-1, heads, width, _count(pool, self.grid)).transpose(2, 3)
        normed: Tensor = norm(torch.cat([cls, tokens], dim=2))
        return normed


class PooledSkip(nn.Module):
    """The largest of each token's neighbours, for the residual around attention with pooled queries."""

    def __init__(self, grid: Grid) -> None:
        super().__init__()
        self.grid = grid

    def forward(self, x: Tensor) -> Tensor:
        """`[B, 1 + T*H*W, C]` to `[B, 1 + T*H/2*W/2, C]`."""
        (steps, height, width), dim = self.grid, x.shape[-1]
        maps = x[:, 1:].reshape(-1, height, width, dim).permute(0, 3, 1, 2)  # [B*T, C, H, W]
        maps = functional.max_pool2d(maps, 3, stride=2, padding=1)
        tokens = maps.flatten(2).transpose(1, 2).reshape(-1, steps * maps.shape[2] * maps.shape[3], dim)
        return torch.cat([x[:, :1], tokens], dim=1)


def _pool(width: int, stride: int | None) -> tuple[nn.Conv3d | None, nn.LayerNorm | None]:
    """A depthwise convolution that steps along height and width, and its norm; neither for None."""
    if stride is None:
        return None, None
    conv = nn.Conv3d(width, width, 3, stride=(1, stride, stride), padding=1, groups=width, bias=False)
    return conv, nn.LayerNorm(width, eps=EPS)


def _count(pool: nn.Conv3d, grid: Grid) -> int:
    """Tokens behind a pool."""
    steps, height, width = ((count - 1) // stride + 1 for count, stride in zip(grid, pool.stride, strict=True))
    return steps * height * width
