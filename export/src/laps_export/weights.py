"""Seeded random weights, for benchmarks and tests that need a model's cost but not its knowledge."""

from __future__ import annotations

import torch
from torch import nn

from laps_export.visformer import Laps

_POSITION_SCALE = 0.1


def randomise(model: nn.Module, *, seed: int) -> None:
    """Draw every weight anew, the same for the same seed on every machine.

    Products keep their input's size, so that logits are of order one and a wrong graph shows; torch's
    own defaults shrink the signal until all logits look alike.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() < 2:
                continue  # norms and biases: torch's ones and zeros are right
            fan_in = parameter[0].numel()
            scale = _POSITION_SCALE if "pos_embed" in name else fan_in**-0.5
            parameter.normal_(0.0, scale, generator=generator)
        if isinstance(model, Laps):
            model.head.bias.zero_()
