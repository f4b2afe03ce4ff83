"""Seeded random weights, for benchmarks and tests that need a model's cost but not its knowledge."""

from __future__ import annotations

import torch

from laps_export.families.family import VideoModel

_POSITION_SCALE = 0.1
_RESIDUAL_GAIN = 0.25


def randomise(model: VideoModel, *, seed: int) -> None:
    """Draw every weight of a model's network anew, the same for the same seed on every machine.

    The model must be well conditioned, or no parity gate can pass: logits of order one, so that a wrong
    graph shows, and residual branches small enough that attention does not saturate. A saturated softmax is
    a choice between near equals, which rounding decides otherwise in every runtime.
    """
    family = model.family
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.network.named_parameters():
            if parameter.dim() < 2:
                parameter.fill_(0.0 if name.endswith("bias") else 1.0)
            elif any(part in name for part in family.positions):
                parameter.normal_(0.0, _POSITION_SCALE, generator=generator)
            else:
                gain = _RESIDUAL_GAIN if name.endswith(family.residual_ends) else 1.0
                fan_in = parameter[0].numel()
                parameter.normal_(0.0, gain * fan_in**-0.5, generator=generator)
