"""The network: a stem of two convolutions, four stages of thin residual blocks, a head of two hidden layers."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from laps_export.families.clip_shape import check_clip_shape
from laps_export.families.position_average import log_mean_probability
from laps_export.families.x3d.config import X3DConfig

_SPACE = (1, 2, 2)
"""Frames are kept; rows and columns are halved."""


class StemLayers(nn.Module):
    """Within a frame, then along time and each channel by itself, with nothing in between."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_xy = nn.Conv3d(3, channels, (1, 3, 3), stride=_SPACE, padding=(0, 1, 1), bias=False)
        self.conv = nn.Conv3d(channels, channels, (5, 1, 1), padding=(2, 0, 0), groups=channels, bias=False)
        self.bn = nn.BatchNorm3d(channels)

    def forward(self, clips: Tensor) -> Tensor:
        """`[B, 3, T, H, W]` to `[B, C, T, H/2, W/2]`."""
        x: Tensor = self.bn(self.conv(self.conv_xy(clips)))
        return x.relu()


class Stem(nn.Module):
    """The first layers, under the name that checkpoints have."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pathway0_stem = StemLayers(channels)

    def forward(self, clips: Tensor) -> Tensor:
        """`[B, 3, T, H, W]` to `[B, C, T, H/2, W/2]`."""
        x: Tensor = self.pathway0_stem(clips)
        return x


class SqueezeExcitation(nn.Module):
    """What the whole clip has of each channel tells how much the channel counts."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv3d(channels, squeezed, 1)
        self.fc2 = nn.Conv3d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, T, H, W]` to the same."""
        mean = x.mean((2, 3, 4), keepdim=True)  # [B, C, 1, 1, 1]
        counts: Tensor = self.fc2(self.fc1(mean).relu()).sigmoid()
        return x * counts


class Bottleneck(nn.Module):
    """The branch of a residual block: to more channels, each by itself in space and time, and back to few."""

    def __init__(
        self, channels: int, inner: int, outer: int, *, stride: tuple[int, int, int], squeezed: int | None
    ) -> None:
        super().__init__()
        self.a = nn.Conv3d(channels, inner, 1, bias=False)
        self.a_bn = nn.BatchNorm3d(inner)
        self.b = nn.Conv3d(inner, inner, 3, stride=stride, padding=1, groups=inner, bias=False)
        self.b_bn = nn.BatchNorm3d(inner)
        self.se = nn.Identity() if squeezed is None else SqueezeExcitation(inner, squeezed)
        self.swish = nn.SiLU()
        self.c = nn.Conv3d(inner, outer, 1, bias=False)
        self.c_bn = nn.BatchNorm3d(outer)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, T, H, W]` to `[B, outer, T, H, W]`, or half of the rows and columns."""
        x = self.a_bn(self.a(x)).relu()
        x = self.swish(self.se(self.b_bn(self.b(x))))
        branch: Tensor = self.c_bn(self.c(x))
        return branch


class ResidualBlock(nn.Module):
    """A branch and what goes around it."""

    def __init__(self, branch2: Bottleneck, *, branch1: nn.Module | None, branch1_bn: nn.Module | None) -> None:
        super().__init__()
        self.branch1 = branch1
        self.branch1_bn = branch1_bn
        self.branch2 = branch2

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, T, H, W]` to `[B, outer, T, H, W]`, or half of the rows and columns."""
        around = x if self.branch1 is None else self.branch1(x)
        if self.branch1_bn is not None:
            around = self.branch1_bn(around)
        summed: Tensor = around + self.branch2(x)
        return summed.relu()


class Stage(nn.Module):
    """Blocks, under the names that checkpoints have; the first of them halves rows and columns."""

    def __init__(self, config: X3DConfig, stage: int) -> None:
        super().__init__()
        outer, inner = config.outer[stage], config.inner[stage]
        channels = config.outer[stage - 1] if stage else config.stem
        has_norm = config.first_norm or stage > 0
        for block in range(config.blocks[stage]):
            first = block == 0
            branch = Bottleneck(
                channels if first else outer,
                inner,
                outer,
                stride=_SPACE if first else (1, 1, 1),
                squeezed=config.squeezed[stage] if block % 2 == 0 else None,
            )
            residual = ResidualBlock(
                branch,
                branch1=nn.Conv3d(channels, outer, 1, stride=_SPACE, bias=False) if first else None,
                branch1_bn=nn.BatchNorm3d(outer) if first and has_norm else None,
            )
            self.add_module(f"pathway0_res{block}", residual)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, T, H, W]` to `[B, outer, T, H/2, W/2]`."""
        for block in self.children():
            x = block(x)
        return x


class Head(nn.Module):
    """Logits at every position of a window of the training's size."""

    def __init__(self, config: X3DConfig) -> None:
        super().__init__()
        self.window = config.window
        channels = config.inner[-1]
        self.conv_5 = nn.Conv3d(config.outer[-1], channels, 1, bias=False)
        self.conv_5_bn = nn.BatchNorm3d(channels)
        self.lin_5 = nn.Conv3d(channels, config.head, 1, bias=False)
        self.lin_5_relu = nn.ReLU()
        self.projection = nn.Linear(config.head, config.classes)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, T, H, W]` to `[B, P, K]`, positions row by row."""
        x = self.conv_5_bn(self.conv_5(x)).relu()
        x = functional.avg_pool2d(x.mean(2), self.window, stride=1)  # [B, c, h, w]
        x = self.lin_5_relu(self.lin_5(x[:, :, None]))  # [B, hidden, 1, h, w]
        logits: Tensor = self.projection(x.flatten(2).transpose(1, 2))
        return logits


class X3D(nn.Module):
    """Clips in, one answer a clip; names and shapes are those of the authors' checkpoints."""

    def __init__(self, config: X3DConfig) -> None:
        super().__init__()
        self.config = config
        self.s1 = Stem(config.stem)
        self.s2 = Stage(config, 0)
        self.s3 = Stage(config, 1)
        self.s4 = Stage(config, 2)
        self.s5 = Stage(config, 3)
        self.head = Head(config)

    def forward(self, clips: Tensor) -> Tensor:
        """Normalised RGB float clips `[B, T, 3, H, W]` to log-probabilities `[B, K]`."""
        return log_mean_probability(self.logits_by_position(clips))

    def logits_by_position(self, clips: Tensor) -> Tensor:
        """`[B, T, 3, H, W]` to `[B, P, K]`."""
        check_clip_shape(clips, self.config)
        x = self.s1(clips.transpose(1, 2))
        x = self.s5(self.s4(self.s3(self.s2(x))))
        logits: Tensor = self.head(x)
        return logits
