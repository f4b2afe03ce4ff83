"""The network: a ResNet over the segments' pictures, and a short one over the differences of their frames."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from laps_export.families.clip_shape import check_clip_shape
from laps_export.families.tdn.blocks import Block, ContextualisedBlock
from laps_export.families.tdn.config import EXPANSION, SEGMENT_FRAMES, TdnConfig
from laps_export.families.tdn.enlarging import Enlarge

_MIDDLE = SEGMENT_FRAMES // 2
_DIFFERENCE_BLOCKS = 3


class Backbone(nn.Module):
    """Everything but the last layer; names are those of checkpoints."""

    def __init__(self, config: TdnConfig) -> None:
        super().__init__()
        block = ContextualisedBlock if config.contextualised else Block

        def stage(number: int, blocks: int, *, temporal: bool) -> nn.Sequential:
            return nn.Sequential(*(block(config, number, first=i == 0, temporal=temporal) for i in range(blocks)))

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
        self.resnext_layer1 = stage(0, _DIFFERENCE_BLOCKS, temporal=False)
        self.layer1_bak = stage(0, config.blocks[0], temporal=False)
        self.layer2_bak = stage(1, config.blocks[1], temporal=True)
        self.layer3_bak = stage(2, config.blocks[2], temporal=True)
        self.layer4_bak = stage(3, config.blocks[3], temporal=True)

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
