"""Layers of the networks on rows of tokens, which several families have under the same names."""

from __future__ import annotations

import torch
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


def attend(q: Tensor, k: Tensor, v: Tensor, *, heads: int, bias: Tensor | None = None) -> Tensor:
    """Multi-head attention.

    Args:
        q: `[R, N, C]`.
        k: `[R, M, C]`.
        v: `[R, M, C]`.
        heads: h, of d = C / h channels each.
        bias: `[N, M]`, added before the softmax.

    Returns:
        `[R, N, C]`, the heads side by side.
    """
    dim = q.shape[-1]

    def split(part: Tensor) -> Tensor:
        return part.reshape(-1, part.shape[1], heads, dim // heads).transpose(1, 2)  # [R, h, N, d]

    scores = (split(q) * (dim // heads) ** -0.5) @ split(k).transpose(-2, -1)  # [R, h, N, M]
    if bias is not None:
        scores = scores + bias
    mixed: Tensor = scores.softmax(-1) @ split(v)  # [R, h, N, d]
    return mixed.transpose(1, 2).reshape(-1, q.shape[1], dim)


class SelfAttention(nn.Module):
    """Multi-head attention of every row of tokens to itself."""

    def __init__(self, dim: int, *, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """`[R, N, C]` to the same shape."""
        projected: Tensor = self.proj(self.mix(x))
        return projected

    def mix(self, x: Tensor) -> Tensor:
        """What the heads found, before the projection: `[R, N, C]` to the same shape."""
        q, k, v = torch.split(self.qkv(x), [x.shape[-1]] * 3, dim=-1)
        return attend(q, k, v, heads=self.heads)
