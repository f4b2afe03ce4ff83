"""Shifts of channels along time, for tokens whose channels are the last axis."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

SHIFT_FOLDS = 4
"""One quarter of the channels looks a frame ahead, one quarter a frame back, half stays."""


def shift_tokens(x: Tensor, *, frames: int, groups: int = 1) -> Tensor:
    """Let every frame's tokens see a quarter of their channels one frame ahead and a quarter one frame back.

    At a clip's ends there is nothing to see: zeros.

    Args:
        x: `[B*T, L, C]`.
        frames: T.
        groups: 1 takes the quarters from all C channels, the number of heads takes them inside every head.

    Returns:
        `[B*T, L, C]`.
    """
    tokens, channels = x.shape[1:]
    span = channels // groups
    fold = span // SHIFT_FOLDS
    clips = x.reshape(-1, frames, tokens, groups, span)  # [B, T, L, G, S]
    ahead, back, rest = torch.split(clips, [fold, fold, span - 2 * fold], dim=4)
    # Padding instead of writing into zeros: the exported graph stays Slice, Pad, Concat.
    ahead = functional.pad(ahead[:, 1:], [0, 0, 0, 0, 0, 0, 0, 1])
    back = functional.pad(back[:, : frames - 1], [0, 0, 0, 0, 0, 0, 1, 0])
    return torch.cat([ahead, back, rest], dim=4).reshape(-1, tokens, channels)
