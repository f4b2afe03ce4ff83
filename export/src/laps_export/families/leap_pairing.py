"""Leap attention's pairs of frames, and the reordering that makes the two of a pair neighbours."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from laps_export.errors import ConfigError


def leap_pairs(frames: int, level: int) -> tuple[tuple[int, int], ...]:
    """The pairs of frames that attend to each other at one pyramid level.

    Frames `step = frames / 2**level` apart are paired; frames 8:

        level 1   0-4 1-5 2-6 3-7
        level 2   0-2 1-3 4-6 5-7
        level 3   0-1 2-3 4-5 6-7

    Raises:
        ConfigError: `invalid_level` where `frames` cannot be divided so.
    """
    if not 1 <= level < frames.bit_length() or frames % 2**level:
        raise ConfigError(
            f"leap level {level} does not fit {frames} frames",
            code="invalid_level",
            hint=_levels_hint(frames),
        )
    step = frames // 2**level
    return tuple((t, t + step) for start in range(0, frames, 2 * step) for t in range(start, start + step))


def _levels_hint(frames: int) -> str:
    highest = 0
    while frames > 0 and frames % 2 ** (highest + 1) == 0:
        highest += 1
    if highest == 0:
        return "leap attention needs an even frame count, 8, 16 or 32 in the published variants"
    return f"{frames} frames allow levels 1 to {highest}: the frame count must be divisible by 2**level"


class LeapPairing(nn.Module):
    """Reorder a clip's frames so that the two of a pair are neighbours, and back.

    The two index tables are buffers, computed once. They are derived, so checkpoints do not hold them.
    """

    order: Tensor  # [T] int64
    restore: Tensor  # [T] int64

    def __init__(self, frames: int, level: int) -> None:
        super().__init__()
        self.frames = frames
        order = torch.tensor(leap_pairs(frames, level)).flatten()
        self.register_buffer("order", order, persistent=False)
        self.register_buffer("restore", torch.argsort(order), persistent=False)

    def pair(self, x: Tensor) -> Tensor:
        """Frames in clip order `[B*T, ...]` to pair order, same shape."""
        return self._select(x, self.order)

    def unpair(self, x: Tensor) -> Tensor:
        """Undo `pair`."""
        return self._select(x, self.restore)

    def _select(self, x: Tensor, table: Tensor) -> Tensor:
        clips = x.reshape(-1, self.frames, *x.shape[1:])  # [B, T, ...]
        return clips.index_select(1, table).reshape(-1, *x.shape[1:])
