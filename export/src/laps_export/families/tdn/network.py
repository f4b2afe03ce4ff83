"""The network: a ResNet over the segments' pictures, and a short one over the differences of their frames."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from laps_export.families.clip_shape import check_clip_shape
from laps_export.families.tdn.config import EXPANSION, SEGMENT_FRAMES, TdnConfig
from laps_export.families.tdn.enlarging import Enlarge
from laps_export.families.tdn.motion import MotionExcitation, TemporalShift

_MIDDLE = SEGMENT_FRAMES // 2
_DIFFERENCE_BLOCKS = 3


class Block(nn.Module):
    """A ResNet's bottleneck; a temporal one looks at other segments before its 3x3 convolution."""

    def __init__(self, config: TdnConfig, stage: int, *, first: bool, temporal: bool) -> None:
        super().__init__()
        width = config.width << stage
        stride = 2 if first and stage else 1
        given = config.width if first and not stage else EXPANSION * (width // stride)
        self.conv1 = nn.Conv2d(given, width, 1)
        self.bn1 = nn.BatchNorm2d(width)
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
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(self.shift(self.mse(y)))))
        return torch.relu(self.bn3(self.conv3(y)) + self.downsample(x))


def _stage(config: TdnConfig, stage: int, blocks: int, *, temporal: bool) -> nn.Sequential:
    return nn.Sequential(*(Block(config, stage, first=i == 0, temporal=temporal) for i in range(blocks)))


class Backbone(nn.Module):
    """Everything but the last layer; names are those of checkpoints."""

    def __init__(self, config: TdnConfig) -> None:
        super().__init__()
        width = config.width
        self.picture_share = config.picture_share
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.halve = nn.AvgPool2d(2)
        self.conv1_5 = nn.Sequential(
            nn.Conv2d(3 * (SEGMENT_FRAMES - 1), width, 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        )
        self.enlarge = Enlarge(config.side(1), config.side(0))
        self.resnext_layer1 = _stage(config, 0, _DIFFERENCE_BLOCKS, temporal=False)
        self.layer1_bak = _stage(config, 0, config.blocks[0], temporal=False)
        self.layer2_bak = _stage(config, 1, config.blocks[1], temporal=True)
        self.layer3_bak = _stage(config, 2, config.blocks[2], temporal=True)
        self.layer4_bak = _stage(config, 3, config.blocks[3], temporal=True)

    def forward(self, segments: Tensor) -> Tensor:
        """`[B*T, 5, 3, H, W]` to `[B*T, C]`."""
        differences = (segments[:, 1:] - segments[:, :-1]).flatten(1, 2)  # [B*T, 4*3, H, W]
        early = self.maxpool(self.conv1_5(self.halve(differences)))
        late = self.resnext_layer1(early)
        x = self.maxpool(torch.relu(self.bn1(self.conv1(segments[:, _MIDDLE]))))
        x = self.layer1_bak(self.fused(x, early))
        x = self.layer4_bak(self.layer3_bak(self.layer2_bak(self.fused(x, late))))
        features: Tensor = x.mean((2, 3))  # [B*T, C]
        return features

    def fused(self, picture: Tensor, differences: Tensor) -> Tensor:
        """Features of the pictures with those of the differences, which have half the rows and columns."""
        share = self.picture_share
        fused: Tensor = share * picture + (1 - share) * self.enlarge(differences)
        return fused


class Tdn(nn.Module):
    """Clips in, logits per segment out; names and shapes are those of the authors' checkpoints."""

    def __init__(self, config: TdnConfig) -> None:
        super().__init__()
        self.config = config
        self.base_model = Backbone(config)
        self.new_fc = nn.Linear(EXPANSION * config.width << (len(config.blocks) - 1), config.classes)

    def forward(self, clips: Tensor) -> Tensor:
        """Normalised RGB float clips `[B, 5*T, 3, H, W]` to logits `[B, T, K]`."""
        check_clip_shape(clips, self.config)
        features = self.base_model(clips.reshape(-1, SEGMENT_FRAMES, *clips.shape[2:]))  # [B*T, C]
        logits: Tensor = self.new_fc(features.reshape(-1, self.config.segments, features.shape[-1]))
        return logits
