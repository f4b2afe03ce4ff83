"""Layers of the networks on rows of tokens, which several families have under the same names."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class Mlp(nn.Module):
    """Widen, GELU, narrow again; each token for itself."""

    def __init__(self, dim: int, hidden: int, dim_out: int | None = None) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim if dim_out is None else dim_out)

    def forward(self, x: Tensor) -> Tensor:
        """`[..., C]` to `[..., Cout]`."""
        narrowed: Tensor = self.fc2(functional.gelu(self.fc1(x)))
        return narrowed


class SelfAttention(nn.Module):
    """Multi-head attention of every row of tokens to itself."""

    def __init__(self, dim: int, *, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale = (dim // heads) ** -0.5
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """`[R, N, C]` to the same shape."""
        tokens, dim = x.shape[1:]
        qkv = self.qkv(x).reshape(-1, tokens, 3, self.heads, dim // self.heads)  # [R, N, 3, h, d]
        q, k, v = (qkv[:, :, part].transpose(1, 2) for part in range(3))  # each [R, h, N, d]
        scores = (q * self.scale) @ k.transpose(-2, -1)  # [R, h, N, N]
        mixed = scores.softmax(-1) @ v  # [R, h, N, d]
        projected: Tensor = self.proj(mixed.transpose(1, 2).reshape(-1, tokens, dim))
        return projected
