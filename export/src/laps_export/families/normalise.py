"""Pixels to network input, by a family's mean and standard deviation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from laps_export.families.family import Normalisation

PIXEL_MAX = 255.0


class Normalise(nn.Module):
    """`(x / 255 - mean) / std` on channel-last 8 bit clips, written as one product and one sum."""

    gain: Tensor  # [3, 1, 1] float32
    offset: Tensor  # [3, 1, 1] float32

    def __init__(self, pixels: Normalisation) -> None:
        super().__init__()
        # Computed in float64: the two constants round once.
        mean, std = (torch.tensor(values, dtype=torch.float64).view(3, 1, 1) for values in (pixels.mean, pixels.std))
        self.register_buffer("gain", (1 / (PIXEL_MAX * std)).float(), persistent=False)
        self.register_buffer("offset", (-mean / std).float(), persistent=False)

    def forward(self, clips: Tensor) -> Tensor:
        """uint8 RGB `[B, T, H, W, 3]` to float32 `[B, T, 3, H, W]`."""
        # Cast before Transpose: TensorRT accepts nothing but a Cast on a uint8 input.
        return clips.float().permute(0, 1, 4, 2, 3) * self.gain + self.offset
