"""The network: four stages of windowed attention over tokens of 2 frames each, and a linear head on every step's mean.

Tokens are channels last, `[B, D, H, W, C]`. The clip's logits are the mean over its D steps, exactly.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from laps_export.families.clip_shape import check_clip_shape
from laps_export.families.token_layers import Mlp
from laps_export.families.video_swin.config import PATCH, VideoSwinConfig
from laps_export.families.video_swin.windows import Windows, bias_rows, relative_positions

_MLP_RATIO = 4
_NOT_SEEN = -100.0
"""Added to the score of two tokens of different regions, as the authors have it."""


class PatchEmbed(nn.Module):
    """Cut a clip into boxes of pixels and project each to one token."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv3d(3, dim, PATCH, stride=PATCH)
        self.norm = nn.LayerNorm(dim)

    def forward(self, clips: Tensor) -> Tensor:
        """`[B, 3, T, H, W]` to `[B, D, H/4, W/4, C]`."""
        tokens: Tensor = self.norm(self.proj(clips).permute(0, 2, 3, 4, 1))
        return tokens


class WindowAttention(nn.Module):
    """Multi-head attention within each window, with a learned bias for each distance of two tokens."""

    def __init__(self, dim: int, *, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale = (dim // heads) ** -0.5
        self.relative_position_bias_table = nn.Parameter(torch.zeros(bias_rows(), heads))
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, positions: Tensor, regions: Tensor | None) -> Tensor:
        """Attend within windows.

        Args:
            x: `[B*windows, N, C]`.
            positions: `[N, N]`, rows of the bias table.
            regions: `[windows, N]` where the windows are shifted.

        Returns:
            As x.
        """
        tokens, dim = x.shape[1:]
        qkv = self.qkv(x).reshape(-1, tokens, 3, self.heads, dim // self.heads)  # [R, N, 3, h, d]
        q, k, v = (qkv[:, :, part].transpose(1, 2) for part in range(3))  # each [R, h, N, d]
        scores = (q * self.scale) @ k.transpose(-2, -1)  # [R, h, N, N]
        bias = self.relative_position_bias_table[positions.flatten()]  # [N*N, h]
        scores = scores + bias.reshape(tokens, tokens, self.heads).permute(2, 0, 1)
        if regions is not None:
            apart = (regions[:, None, :] != regions[:, :, None]).float() * _NOT_SEEN  # [windows, N, N]
            scores = scores.reshape(-1, regions.shape[0], self.heads, tokens, tokens) + apart[:, None]
            scores = scores.reshape(-1, self.heads, tokens, tokens)
        mixed = scores.softmax(-1) @ v  # [R, h, N, d]
        projected: Tensor = self.proj(mixed.transpose(1, 2).reshape(-1, tokens, dim))
        return projected


class Block(nn.Module):
    """Attention within windows, shifted or not, then an MLP; both residuals."""

    def __init__(self, dim: int, *, heads: int, windows: Windows, shifted: bool) -> None:
        super().__init__()
        self.windows = windows
        self.shift = windows.shift if shifted and any(windows.shift) else None
        self.norm1 = nn.LayerNorm(dim)
        self.attn = WindowAttention(dim, heads=heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, _MLP_RATIO * dim)

    def forward(self, x: Tensor, positions: Tensor, regions: Tensor) -> Tensor:
        """`[B, D, H, W, C]` to the same shape."""
        x = x + self._attended(self.norm1(x), positions, regions)
        mixed: Tensor = x + self.mlp(self.norm2(x))
        return mixed

    def _attended(self, x: Tensor, positions: Tensor, regions: Tensor) -> Tensor:
        if self.shift is None:
            return self.windows.join(self.attn(self.windows.cut(x), positions, None))
        depth, height, width = self.shift
        x = x.roll((-depth, -height, -width), (1, 2, 3))
        x = self.windows.join(self.attn(self.windows.cut(x), positions, regions))
        return x.roll(self.shift, (1, 2, 3))


class PatchMerging(nn.Module):
    """Four neighbours within a step to one token of twice the width."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * dim)
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, D, H, W, C]` to `[B, D, H/2, W/2, 2*C]`."""
        _, steps, height, width, dim = x.shape
        x = x.reshape(-1, steps, height // 2, 2, width // 2, 2, dim)
        # Down first: (0, 0), (1, 0), (0, 1), (1, 1) as (row, column).
        x = x.permute(0, 1, 2, 4, 5, 3, 6).reshape(-1, steps, height // 2, width // 2, 4 * dim)
        merged: Tensor = self.reduction(self.norm(x))
        return merged


class Stage(nn.Module):
    """Blocks whose windows are shifted in turn, then merging unless it is the last."""

    regions: Tensor  # [windows, N] int64

    def __init__(self, config: VideoSwinConfig, stage: int) -> None:
        super().__init__()
        dim, heads = config.width(stage), config.heads[stage]
        windows = Windows.of(config.grid(stage))
        self.blocks = nn.ModuleList(
            Block(dim, heads=heads, windows=windows, shifted=i % 2 == 1) for i in range(config.depths[stage])
        )
        last = stage == len(config.depths) - 1
        self.downsample = None if last else PatchMerging(dim)
        self.register_buffer("regions", windows.regions(), persistent=False)
        self.window_tokens = windows.tokens

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        """`[B, D, H, W, C]` to `[B, D, H/2, W/2, 2*C]`, or of the last stage to the same shape."""
        # A window that was shrunk takes the first rows and columns of a whole one's, as the authors have it.
        positions = positions[: self.window_tokens, : self.window_tokens]
        for block in self.blocks:
            x = block(x, positions, self.regions)
        return x if self.downsample is None else self.downsample(x)


class Backbone(nn.Module):
    """Clips to the last stage's normed tokens."""

    positions: Tensor  # [N, N] int64

    def __init__(self, config: VideoSwinConfig) -> None:
        super().__init__()
        stages = len(config.depths)
        self.patch_embed = PatchEmbed(config.dim)
        self.layers = nn.ModuleList(Stage(config, stage) for stage in range(stages))
        self.norm = nn.LayerNorm(config.width(stages - 1))
        self.register_buffer("positions", relative_positions(), persistent=False)

    def forward(self, clips: Tensor) -> Tensor:
        """`[B, 3, T, H, W]` to `[B, D, h, w, C]`."""
        x = self.patch_embed(clips)
        for stage in self.layers:
            x = stage(x, self.positions)
        normed: Tensor = self.norm(x)
        return normed


class Head(nn.Module):
    """The last layer, under the name that checkpoints have."""

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        self.fc_cls = nn.Linear(dim, classes)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, D, C]` to `[B, D, K]`."""
        logits: Tensor = self.fc_cls(x)
        return logits


class VideoSwin(nn.Module):
    """Clips in, logits a step out; names and shapes are those of the authors' checkpoints."""

    def __init__(self, config: VideoSwinConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = Backbone(config)
        self.cls_head = Head(config.width(len(config.depths) - 1), config.classes)

    def forward(self, clips: Tensor) -> Tensor:
        """Normalised RGB float clips `[B, T, 3, H, W]` to step logits `[B, T/2, K]`.

        Raises:
            ConfigError: `invalid_input`, the clips are not of the model's shape.
        """
        check_clip_shape(clips, self.config)
        tokens = self.backbone(clips.transpose(1, 2))  # [B, D, h, w, C]
        logits: Tensor = self.cls_head(tokens.mean((2, 3)))
        return logits
