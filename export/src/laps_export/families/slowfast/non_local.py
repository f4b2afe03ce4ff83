"""The non-local block: every place and step of the clip sums what all others say, by dot product."""

from __future__ import annotations

from torch import Tensor, nn


class NonLocal(nn.Module):
    """Weights are products divided by how many they are; there is no softmax, unlike attention."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.conv_theta = nn.Conv3d(channels, inner, 1)
        self.conv_phi = nn.Conv3d(channels, inner, 1)
        self.conv_g = nn.Conv3d(channels, inner, 1)
        self.conv_out = nn.Conv3d(inner, channels, 1)
        self.bn = nn.BatchNorm3d(channels)
        self.pool = nn.MaxPool3d((1, 2, 2))

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, T, H, W]` to the same."""
        pooled = self.pool(x)
        theta = self.conv_theta(x)  # [B, c, T, H, W]
        phi = self.conv_phi(pooled).flatten(2)  # [B, c, M]
        g = self.conv_g(pooled).flatten(2).transpose(1, 2)  # [B, M, c]
        weights = self.weigh(theta.flatten(2).transpose(1, 2) @ phi)  # [B, N, M]
        said = (weights @ g).transpose(1, 2).reshape(theta.shape)  # [B, c, T, H, W]
        summed: Tensor = x + self.bn(self.conv_out(said))
        return summed

    def weigh(self, products: Tensor) -> Tensor:
        """`[B, N, M]` to the same."""
        return products / products.shape[-1]
