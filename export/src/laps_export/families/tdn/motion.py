"""What a temporal block does along time: attention to what moves from segment to segment, then a learned shift."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from laps_export.families.tdn.config import MOTION_REDUCTION
from laps_export.families.tdn.enlarging import Enlarge


class MotionExcitation(nn.Module):
    """Channels of each place scaled by how it differs from the next segment and from the one before.

    Names are those of checkpoints. The convolution named `smallscale4` works at full scale, in the authors' code too.
    """

    def __init__(self, channels: int, *, segments: int, side: int) -> None:
        super().__init__()
        few = channels // MOTION_REDUCTION
        self.segments = segments
        self.conv1 = nn.Conv2d(channels, few, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(few)
        self.conv2 = nn.Conv2d(few, few, 3, padding=1, groups=few, bias=False)
        self.halve = nn.AvgPool2d(2)
        self.conv3_smallscale2 = nn.Conv2d(few, few, 3, padding=1, bias=False)
        self.bn3_smallscale2 = nn.BatchNorm2d(few)
        self.enlarge = Enlarge(side // 2, side)
        self.conv3_smallscale4 = nn.Conv2d(few, few, 3, padding=1, bias=False)
        self.bn3_smallscale4 = nn.BatchNorm2d(few)
        self.conv3 = nn.Conv2d(few, channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """`[B*T, C, h, w]` to the same."""
        features = self.bn1(self.conv1(x))
        here, other = by_clip(features, self.segments), by_clip(self.conv2(features), self.segments)  # [B, T, r, h, w]
        # The last segment has none after it, and the first none before: their differences are 0.
        onward = functional.pad(other[:, 1:] - here[:, :-1], (0, 0, 0, 0, 0, 0, 0, 1))
        back = functional.pad(other[:, :-1] - here[:, 1:], (0, 0, 0, 0, 0, 0, 1, 0))
        return x + x * (self.gate(onward.flatten(0, 1)) / 2 + self.gate(back.flatten(0, 1)) / 2)

    def gate(self, differences: Tensor) -> Tensor:
        """`[B*T, C/16, h, w]` to `[B*T, C, h, w]`, in -0.5..0.5."""
        coarse = self.enlarge(self.bn3_smallscale2(self.conv3_smallscale2(self.halve(differences))))
        fine = self.bn3_smallscale4(self.conv3_smallscale4(differences))
        return torch.sigmoid(self.bn3(self.conv3((differences + coarse + fine) / 3))) - 0.5


class TemporalShift(nn.Module):
    """Each channel's own mixture of the segment before, this one and the next."""

    def __init__(self, channels: int, *, segments: int) -> None:
        super().__init__()
        self.segments = segments
        self.conv = nn.Conv1d(channels, channels, 3, padding=1, groups=channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """`[B*T, C, h, w]` to the same."""
        clips = by_clip(x.flatten(2), self.segments).transpose(1, 2)  # [B, C, T, h*w]
        # In two dimensions, so that places need not become a batch.
        mixed = functional.conv2d(clips, self.conv.weight[..., None], padding=(1, 0), groups=clips.shape[1])
        return mixed.transpose(1, 2).reshape(x.shape)


def by_clip(x: Tensor, segments: int) -> Tensor:
    """`[B*T, ...]` to `[B, T, ...]`."""
    return x.reshape(-1, segments, *x.shape[1:])
