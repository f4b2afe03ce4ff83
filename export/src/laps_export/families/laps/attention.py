"""The six kinds of attention of the LAPS paper, as two independent choices.

    kind          softmax runs over           then, before `proj`
    base2d        the tokens of one frame     -
    base3d        the tokens of the clip      -
    plain_shift   the tokens of one frame     shift whole channels
    p_shift       the tokens of one frame     shift inside every head
    la            the tokens of a leap pair   -
    laps          the tokens of a leap pair   shift inside every head

So there is one softmax over groups of adjacent frames (group = 1, 2 or T frames), one reordering that
makes the frames of a leap pair adjacent, and one temporal shift that sees one group of channels or one
a head. Tensors are per frame, `[B*T, C, H, W]`, because all the rest of the network is 2D.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum

import torch
from torch import Tensor, nn
from torch.nn import functional

from laps_export.families.channel_shift import SHIFT_FOLDS
from laps_export.families.leap_pairing import LeapPairing


class Scope(Enum):
    """Which frames share one softmax."""

    FRAME = "frame"
    PAIR = "pair"
    CLIP = "clip"


class Shift(Enum):
    """Which channels the temporal shift takes its quarters from."""

    NONE = "none"
    CHANNELS = "channels"
    HEADS = "heads"


class AttentionKind(StrEnum):
    """The names that the paper's ablation uses."""

    BASE2D = "base2d"
    BASE3D = "base3d"
    PLAIN_SHIFT = "plain_shift"
    P_SHIFT = "p_shift"
    LA = "la"
    LAPS = "laps"


@dataclass(frozen=True)
class AttentionSpec:
    """What one kind of attention is made of."""

    scope: Scope
    shift: Shift


ATTENTION_SPECS: dict[AttentionKind, AttentionSpec] = {
    AttentionKind.BASE2D: AttentionSpec(Scope.FRAME, Shift.NONE),
    AttentionKind.BASE3D: AttentionSpec(Scope.CLIP, Shift.NONE),
    AttentionKind.PLAIN_SHIFT: AttentionSpec(Scope.FRAME, Shift.CHANNELS),
    AttentionKind.P_SHIFT: AttentionSpec(Scope.FRAME, Shift.HEADS),
    AttentionKind.LA: AttentionSpec(Scope.PAIR, Shift.NONE),
    AttentionKind.LAPS: AttentionSpec(Scope.PAIR, Shift.HEADS),
}


def temporal_shift(x: Tensor, *, frames: int, groups: int) -> Tensor:
    """Let every frame see a quarter of its channels one frame ahead and a quarter one frame back.

    Drawn for one group of channels, frames downwards, `.` for zero:

        t    first quarter   second quarter   rest
        0    from 1          .                from 0
        1    from 2          from 0           from 1
        ...
        T-1  .               from T-2         from T-1

    Args:
        x: `[B*T, C, H, W]`.
        frames: T.
        groups: 1 takes the quarters from all C channels, `heads` takes them inside every head.

    Returns:
        `[B*T, C, H, W]`.
    """
    channels, height, width = x.shape[1:]
    span = channels // groups
    fold = span // SHIFT_FOLDS
    clips = x.reshape(-1, frames, groups, span, height * width)  # [B, T, G, S, N]
    ahead, back, rest = torch.split(clips, [fold, fold, span - 2 * fold], dim=3)
    # Padding instead of writing into zeros: the exported graph stays Slice, Pad, Concat.
    before_first = [0, 0, 0, 0, 0, 0, 1, 0]
    after_last = [0, 0, 0, 0, 0, 0, 0, 1]
    ahead = functional.pad(ahead[:, 1:], after_last)
    back = functional.pad(back[:, : frames - 1], before_first)
    return torch.cat([ahead, back, rest], dim=3).reshape(-1, channels, height, width)


class Attention(nn.Module):
    """Multi-head self-attention over groups of frames, with an optional temporal shift of its result."""

    def __init__(self, dim: int, *, heads: int, frames: int, kind: AttentionKind, level: int = 0) -> None:
        """Build one attention.

        Args:
            dim: C, a multiple of `heads`, C / heads a multiple of 4.
            heads: number of heads.
            frames: T.
            kind: one of the six.
            level: the leap pyramid's level; read by `la` and `laps` only.

        Raises:
            ConfigError: the level does not divide the frames.
        """
        super().__init__()
        spec = ATTENTION_SPECS[kind]
        self.heads = heads
        self.head_dim = dim // heads
        self.frames = frames
        self.group = {Scope.FRAME: 1, Scope.PAIR: 2, Scope.CLIP: frames}[spec.scope]
        self.shift_groups = {Shift.NONE: 0, Shift.CHANNELS: 1, Shift.HEADS: heads}[spec.shift]
        self.scale = self.head_dim**-0.25
        self.pairing = LeapPairing(frames, level) if spec.scope is Scope.PAIR else None
        self.qkv = nn.Conv2d(dim, 3 * dim, 1, bias=False)
        self.proj = nn.Conv2d(dim, dim, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """`[B*T, C, H, W]` to `[B*T, C, H, W]`."""
        if self.pairing is not None:
            # Before qkv rather than after it: a third of the channels to move.
            x = self.pairing.pair(x)
        x = self._attend(self.qkv(x))
        if self.pairing is not None:
            x = self.pairing.unpair(x)
        if self.shift_groups:
            x = temporal_shift(x, frames=self.frames, groups=self.shift_groups)
        projected: Tensor = self.proj(x)
        return projected

    def _attend(self, qkv: Tensor) -> Tensor:
        """Joint softmax over each group of adjacent frames: `[B*T, 3*C, H, W]` to `[B*T, C, H, W]`.

        Tokens stay the last axis all the way, as the convolutions leave them: with one frame a group
        nothing is copied, and with more the copies move whole rows.
        """
        height, width = qkv.shape[2:]
        heads, dim, group, tokens = self.heads, self.head_dim, self.group, height * width

        def rows(part: Tensor) -> Tensor:
            split = part.reshape(-1, group, heads, dim, tokens)  # [P, G, h, d, N]
            return split.permute(0, 2, 3, 1, 4).reshape(-1, heads, dim, group * tokens)  # [P, h, d, G*N]

        q, k, v = (rows(part) for part in torch.split(qkv, [heads * dim] * 3, dim=1))
        scores = torch.matmul((q * self.scale).transpose(-2, -1), k * self.scale)  # [P, h, G*N, G*N]
        mixed = torch.matmul(v, scores.softmax(dim=-1).transpose(-2, -1))  # [P, h, d, G*N]
        mixed = mixed.reshape(-1, heads, dim, group, tokens).permute(0, 3, 1, 2, 4)  # [P, G, h, d, N]
        return mixed.reshape(-1, heads * dim, height, width)
