"""The network: two pathways of residual blocks, the fast one joined to the slow before each stage."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from laps_export.families.clip_shape import check_clip_shape
from laps_export.families.position_average import log_mean_probability
from laps_export.families.slowfast.config import FRAMES_A_STEP, NARROWER, SlowFastConfig
from laps_export.families.slowfast.non_local import NonLocal

Pathways = tuple[Tensor, Tensor]
"""Slow `[B, C, T/4, H, W]` and fast `[B, c, T, H, W]`."""

_OUTER = 4
"""Times as many channels behind a residual block as inside of it."""

_SLOW, _FAST = 0, 1


class StemPathway(nn.Module):
    """The first layer of one pathway: a quarter of the pixels along height and width."""

    def __init__(self, channels: int, frames: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, channels, (frames, 7, 7), stride=(1, 2, 2), padding=(frames // 2, 3, 3), bias=False)
        self.bn = nn.BatchNorm3d(channels)
        self.pool = nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))

    def forward(self, clips: Tensor) -> Tensor:
        """`[B, 3, T, H, W]` to `[B, C, T, H/4, W/4]`."""
        pooled: Tensor = self.pool(self.bn(self.conv(clips)).relu())
        return pooled


class Stem(nn.Module):
    """The first layers, under the names that checkpoints have."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.pathway0_stem = StemPathway(width, 1)
        self.pathway1_stem = StemPathway(width // NARROWER, 5)

    def forward(self, clips: Pathways) -> Pathways:
        """Both clips `[B, 3, T, H, W]` to both pathways."""
        return self.pathway0_stem(clips[_SLOW]), self.pathway1_stem(clips[_FAST])


class Fusion(nn.Module):
    """What the fast pathway saw, behind the slow pathway's own channels."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.conv_f2s = nn.Conv3d(
            channels,
            2 * channels,
            (kernel, 1, 1),
            stride=(FRAMES_A_STEP, 1, 1),
            padding=(kernel // 2, 0, 0),
            bias=False,
        )
        self.bn = nn.BatchNorm3d(2 * channels)

    def forward(self, pathways: Pathways) -> Pathways:
        """The slow pathway gets 2*c channels more."""
        slow, fast = pathways
        return torch.cat([slow, self.bn(self.conv_f2s(fast)).relu()], dim=1), fast


class Bottleneck(nn.Module):
    """The branch of a residual block: along time, along height and width, and back to many channels."""

    def __init__(self, channels: int, inner: int, *, frames: int, stride: int) -> None:
        super().__init__()
        self.a = nn.Conv3d(channels, inner, (frames, 1, 1), padding=(frames // 2, 0, 0), bias=False)
        self.a_bn = nn.BatchNorm3d(inner)
        self.b = nn.Conv3d(inner, inner, (1, 3, 3), stride=(1, stride, stride), padding=(0, 1, 1), bias=False)
        self.b_bn = nn.BatchNorm3d(inner)
        self.c = nn.Conv3d(inner, _OUTER * inner, 1, bias=False)
        self.c_bn = nn.BatchNorm3d(_OUTER * inner)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, T, H, W]` to `[B, 4*inner, T, H/stride, W/stride]`."""
        x = self.b_bn(self.b(self.a_bn(self.a(x)).relu())).relu()
        branch: Tensor = self.c_bn(self.c(x))
        return branch


class ResidualBlock(nn.Module):
    """A branch and what goes around it, which is a convolution where a stage begins."""

    def __init__(self, channels: int, inner: int, *, frames: int, stride: int, first: bool) -> None:
        super().__init__()
        outer = _OUTER * inner
        self.branch1 = nn.Conv3d(channels, outer, 1, stride=(1, stride, stride), bias=False) if first else None
        self.branch1_bn = nn.BatchNorm3d(outer) if first else None
        self.branch2 = Bottleneck(channels, inner, frames=frames, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, T, H, W]` to `[B, 4*inner, T, H/stride, W/stride]`."""
        around = x if self.branch1 is None or self.branch1_bn is None else self.branch1_bn(self.branch1(x))
        summed: Tensor = (around + self.branch2(x)).relu()
        return summed


class Stage(nn.Module):
    """Blocks of both pathways, and non-local blocks of the slow one, under the names that checkpoints have."""

    def __init__(self, config: SlowFastConfig, stage: int) -> None:
        super().__init__()
        self.names: tuple[list[str], list[str]] = ([], [])
        for pathway, width in enumerate((config.width, config.width // NARROWER)):
            inner = width * 2**stage
            # Before the first stage there are as many channels as inside of it; behind a stage, four times as many.
            channels = inner if stage == 0 else _OUTER * inner // 2
            if pathway == _SLOW:
                channels += 2 * channels // NARROWER  # of the fusion
            for block in range(config.blocks[stage]):
                along_time = config.looks_along_time(stage=stage, block=block, fast=pathway == _FAST)
                residual = ResidualBlock(
                    channels if block == 0 else _OUTER * inner,
                    inner,
                    frames=3 if along_time else 1,
                    stride=2 if stage and block == 0 else 1,
                    first=block == 0,
                )
                self._append(pathway, f"pathway{pathway}_res{block}", residual)
                if pathway == _SLOW and config.is_followed_by_non_local(stage=stage, block=block):
                    self._append(pathway, f"pathway{pathway}_nonlocal{block}", NonLocal(_OUTER * inner, 2 * inner))

    def forward(self, pathways: Pathways) -> Pathways:
        """Half as many places along height and width, but for the first stage."""
        slow, fast = (self._run(x, names) for x, names in zip(pathways, self.names, strict=True))
        return slow, fast

    def _append(self, pathway: int, name: str, module: nn.Module) -> None:
        self.add_module(name, module)
        self.names[pathway].append(name)

    def _run(self, x: Tensor, names: list[str]) -> Tensor:
        for name in names:
            x = self.get_submodule(name)(x)
        return x


class Head(nn.Module):
    """Logits at every position of a window of the training's size."""

    def __init__(self, config: SlowFastConfig) -> None:
        super().__init__()
        self.window = config.window
        last = _OUTER * config.width * 2 ** (len(config.blocks) - 1)
        self.projection = nn.Linear(last + last // NARROWER, config.classes)

    def forward(self, pathways: Pathways) -> Tensor:
        """Both pathways to `[B, P, K]`, positions row by row."""
        pooled = [functional.avg_pool2d(x.mean(2), self.window, stride=1) for x in pathways]  # [B, C, h, w]
        logits: Tensor = self.projection(torch.cat(pooled, dim=1).flatten(2).transpose(1, 2))
        return logits


class SlowFast(nn.Module):
    """Clips in, one answer a clip; names and shapes are those of the authors' checkpoints."""

    slow_frames: Tensor

    def __init__(self, config: SlowFastConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("slow_frames", torch.tensor(config.slow_frames), persistent=False)
        fast = config.width // NARROWER
        self.s1 = Stem(config.width)
        self.s1_fuse = Fusion(fast, config.fusion_kernel)
        self.s2 = Stage(config, 0)
        self.s2_fuse = Fusion(_OUTER * fast, config.fusion_kernel)
        self.s3 = Stage(config, 1)
        self.s3_fuse = Fusion(_OUTER * fast * 2, config.fusion_kernel)
        self.s4 = Stage(config, 2)
        self.s4_fuse = Fusion(_OUTER * fast * 4, config.fusion_kernel)
        self.s5 = Stage(config, 3)
        self.head = Head(config)

    def forward(self, clips: Tensor) -> Tensor:
        """Normalised RGB float clips `[B, T, 3, H, W]` to log-probabilities `[B, K]`."""
        return log_mean_probability(self.logits_by_position(clips))

    def logits_by_position(self, clips: Tensor) -> Tensor:
        """`[B, T, 3, H, W]` to `[B, P, K]`."""
        check_clip_shape(clips, self.config)
        fast = clips.transpose(1, 2)  # [B, 3, T, H, W]
        x = self.s1((fast.index_select(2, self.slow_frames), fast))
        x = self.s2(self.s1_fuse(x))
        x = self.s3(self.s2_fuse(x))
        x = self.s4(self.s3_fuse(x))
        x = self.s5(self.s4_fuse(x))
        logits: Tensor = self.head(x)
        return logits
