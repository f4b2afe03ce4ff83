"""The blocks of the network's stages: TDN's, and those of GC-TDN, which put their channels into context as well."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from laps_export.families.tdn.config import EXPANSION, TdnConfig
from laps_export.families.tdn.contexts import PictureInTime, PlaceInTime, PlacesNearby, WholeClip
from laps_export.families.tdn.motion import MotionExcitation, TemporalShift, by_clip

_GROUPS = 4


class Block(nn.Module):
    """A ResNet's bottleneck; a temporal one looks at other segments before its 3x3 convolution.

    `in_context` is for kinds of blocks that change features on the way: a temporal one before it looks at other
    segments, any other behind its 3x3 convolution.
    """

    def __init__(self, config: TdnConfig, stage: int, *, first: bool, temporal: bool) -> None:
        super().__init__()
        width = config.width << stage
        stride = 2 if first and stage else 1
        given = config.width if first and not stage else EXPANSION * (width // stride)
        self.conv1 = nn.Conv2d(given, width, 1)
        self.bn1 = nn.BatchNorm2d(width)
        self.temporal = temporal
        side = stride * config.side(stage)
        self.mse = MotionExcitation(width, segments=config.segments, side=side) if temporal else nn.Identity()
        self.shift = TemporalShift(width, segments=config.segments) if temporal else nn.Identity()
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, EXPANSION * width, 1)
        self.bn3 = nn.BatchNorm2d(EXPANSION * width)
        self.downsample = (
            nn.Sequential(nn.Conv2d(given, EXPANSION * width, 1, stride=stride), nn.BatchNorm2d(EXPANSION * width))
            if first
            else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        """`[B*T, C, h, w]` to `[B*T, C, h, w]`, or in a stage's first block to the stage's shape."""
        y = self.bn1(self.conv1(x))
        y = torch.relu(self.in_context(y) if self.temporal else y)
        y = self.bn2(self.conv2(self.shift(self.mse(y))))
        y = torch.relu(y if self.temporal else self.in_context(y))
        return torch.relu(self.bn3(self.conv3(y)) + self.downsample(x))

    def in_context(self, x: Tensor) -> Tensor:
        """`[B*T, C, h, w]` to the same: TDN's own blocks leave it as it is."""
        return x


class ContextualisedBlock(Block):
    """GC-TDN's: each quarter of its channels is scaled by a context of its own; names are those of checkpoints."""

    def __init__(self, config: TdnConfig, stage: int, *, first: bool, temporal: bool) -> None:
        super().__init__(config, stage, first=first, temporal=temporal)
        quarter = (config.width << stage) // _GROUPS
        self.segments = config.segments
        self.quarters = [quarter] * _GROUPS
        self.eft1 = PlaceInTime(quarter)
        self.eft2 = PictureInTime(quarter)
        self.eft3 = PlacesNearby(quarter)
        self.eft4 = WholeClip(quarter)

    def in_context(self, x: Tensor) -> Tensor:
        """`[B*T, C, h, w]` to the same."""
        contexts = (self.eft1, self.eft2, self.eft3, self.eft4)
        # With their sizes, not their number; and joined, not assigned to slices: opset 17 has Split and Concat so.
        quarters = by_clip(x, self.segments).split_with_sizes(self.quarters, dim=2)
        scaled = [quarter * context(quarter) for context, quarter in zip(contexts, quarters, strict=True)]
        return torch.cat(scaled, dim=2).reshape(x.shape)
