"""What a quarter of a block's channels is scaled by: each kind looks at another part of the clip around it.

    eft1    the same place in the segment before, this one and the next
    eft2    the pictures of those three segments as a whole
    eft3    places nearby, in the clip's mean picture
    eft4    the clip as a whole

All take `[B, T, c, h, w]` and return what it is multiplied by, in 0..1 and of a shape that fits. Weights are held as
checkpoints have them. Batch norms look at channels alone, so they take whichever shape is at hand.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class PlaceInTime(nn.Module):
    """`eft1`. Its convolution is along time alone, so rows and columns are one axis to it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels, channels, (3, 1, 1), padding=(1, 0, 0), bias=False)
        self.bn1 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, T, c, h, w]` to the same."""
        clips = x.flatten(3).transpose(1, 2)  # [B, c, T, h*w]
        gate = torch.sigmoid(self.bn1(functional.conv2d(clips, self.conv.weight[..., 0], padding=(1, 0))))
        return gate.transpose(1, 2).reshape(x.shape)


class PictureInTime(nn.Module):
    """`eft2`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm1d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, T, c, h, w]` to `[B, T, c, 1, 1]`."""
        gate = torch.sigmoid(self.bn1(self.conv(x.mean((3, 4)).transpose(1, 2))))  # [B, c, T]
        return gate.transpose(1, 2)[..., None, None]


class PlacesNearby(nn.Module):
    """`eft3`. Checkpoints have a batch norm here, which the authors' code never comes to."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=2, dilation=2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, T, c, h, w]` to `[B, 1, c, h, w]`."""
        return torch.sigmoid(self.conv(x.mean(1)))[:, None]


class WholeClip(nn.Module):
    """`eft4`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Linear(channels, channels, bias=False)
        self.bn1 = nn.BatchNorm1d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, T, c, h, w]` to `[B, 1, c, 1, 1]`."""
        return torch.sigmoid(self.bn1(self.conv(x.mean((1, 3, 4)))))[:, None, :, None, None]
