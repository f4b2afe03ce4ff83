"""Features repeated to more rows and columns: ONNX's Resize cannot be had in opset 17."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Enlarge(nn.Module):
    """Nearest neighbour from one side to another; the sizes need not divide."""

    index: Tensor

    def __init__(self, small: int, large: int) -> None:
        super().__init__()
        self.register_buffer("index", torch.arange(large) * small // large, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, small, small]` to `[N, C, large, large]`."""
        return x.index_select(2, self.index).index_select(3, self.index)
