"""Training-only heads that make a network say how the picture moves, not only what that is called.

One reads the second stage's tokens and tells each token's displacement, one reads what the classifier reads and
tells the camera's speed. The network itself stays as it is: the heads listen to it and are thrown away.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from laps_export.data.batches import Batch
from laps_export.visformer import Laps

_SPEEDS = 4
_DISPLACEMENTS = 2


class MotionTeachers(nn.Module):
    """The two heads, listening to one network."""

    def __init__(self, network: Laps) -> None:
        super().__init__()
        embed = network.config.embed_dim
        self.flow = nn.Sequential(nn.BatchNorm2d(embed), nn.Conv2d(embed, _DISPLACEMENTS, 1))
        self.speed = nn.Linear(2 * embed, _SPEEDS)
        self._tokens: Tensor | None = None
        self._features: Tensor | None = None
        network.stage2.register_forward_hook(self._keep_tokens)
        network.head.register_forward_pre_hook(self._keep_features)

    def loss(self, batch: Batch) -> Tensor:
        """How wrong the heads are about the clips that the network saw last: a number."""
        if self._tokens is None or self._features is None:
            raise RuntimeError("the network has not run yet")
        tokens, features = self._tokens.float(), self._features.float()
        flow = self.flow(tokens)  # [B*T, 2, G, G]
        speed = self.speed(features)  # [B*T, 4]
        wanted_flow = batch.flow.flatten(0, 1).permute(0, 3, 1, 2)
        flow_loss = functional.smooth_l1_loss(flow, wanted_flow, beta=0.1)
        return flow_loss + functional.smooth_l1_loss(speed, batch.speed.flatten(0, 1), beta=0.1)

    def _keep_tokens(self, _module: nn.Module, _inputs: tuple[Any, ...], output: Tensor) -> None:
        self._tokens = output  # [B*T, E, G, G]

    def _keep_features(self, _module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self._features = inputs[0]  # [B*T, 2E]


def initialise_teachers(teachers: MotionTeachers) -> None:
    """Begin by saying that nothing moves."""
    with torch.no_grad():
        for module in teachers.modules():
            if isinstance(module, (nn.Linear, nn.Conv2d)):
                module.weight.zero_()
                if module.bias is not None:
                    module.bias.zero_()
