"""The backbone's parts below a stage. Attribute names are those of the authors' checkpoints."""

from __future__ import annotations

from torch import Tensor, nn

from laps_export.families.laps.attention import Attention

MLP_GROUPS = 8
"""Groups of the 3x3 convolution inside the first stage's MLP."""


class BatchNorm(nn.Module):
    """Batch normalisation under the name `bn`, where checkpoints have it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(channels, eps=1e-5)

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` to the same shape."""
        normed: Tensor = self.bn(x)
        return normed


class PatchEmbed(nn.Module):
    """Cut a map into `patch x patch` tiles and project each to one token."""

    def __init__(self, patch: int, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels_in, channels_out, patch, stride=patch)
        self.norm = BatchNorm(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        """`[N, Cin, H, W]` to `[N, Cout, H // patch, W // patch]`."""
        tokens: Tensor = self.norm(self.proj(x))
        return tokens


class Mlp(nn.Module):
    """Widen, look around where `spatial`, narrow again; all as convolutions without bias."""

    def __init__(self, dim: int, hidden: int, *, spatial: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(dim, hidden, 1, bias=False)
        self.conv2 = nn.Conv2d(hidden, hidden, 3, padding=1, groups=MLP_GROUPS, bias=False) if spatial else None
        self.conv3 = nn.Conv2d(hidden, dim, 1, bias=False)
        self.act = nn.GELU()

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` to the same shape."""
        x = self.act(self.conv1(x))
        if self.conv2 is not None:
            x = self.act(self.conv2(x))
        narrowed: Tensor = self.conv3(x)
        return narrowed


class ConvBlock(nn.Module):
    """A first-stage block: no attention, a residual MLP with a 3x3 convolution in it."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm2 = BatchNorm(dim)
        self.mlp = Mlp(dim, 2 * dim, spatial=True)

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` to the same shape."""
        mixed: Tensor = x + self.mlp(self.norm2(x))
        return mixed


class AttentionBlock(nn.Module):
    """A block of the later stages: residual attention, then a residual pointwise MLP."""

    def __init__(self, attention: Attention, dim: int) -> None:
        super().__init__()
        self.norm1 = BatchNorm(dim)
        self.attn = attention
        self.norm2 = BatchNorm(dim)
        self.mlp = Mlp(dim, 4 * dim, spatial=False)

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` to the same shape."""
        x = x + self.attn(self.norm1(x))
        mixed: Tensor = x + self.mlp(self.norm2(x))
        return mixed
