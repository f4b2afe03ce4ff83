"""Answers at several positions of a clip as one: where clips are larger than those of the training, heads give more."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional


def log_mean_probability(logits: Tensor) -> Tensor:
    """Logits at positions `[B, P, K]` to the logarithm of their mean probability, `[B, K]`.

    The authors' answer is the mean of the positions' probabilities. No logits have that softmax but its logarithm.
    """
    each = functional.log_softmax(logits, dim=-1)
    positions = each.shape[1]
    if positions == 1:
        return each.squeeze(1)
    # By the largest, or a class that is unlikely everywhere would have the logarithm of 0.
    largest = each.amax(dim=1, keepdim=True)
    summed = (each - largest).exp().sum(dim=1)
    return largest.squeeze(1) + summed.log() - math.log(positions)
