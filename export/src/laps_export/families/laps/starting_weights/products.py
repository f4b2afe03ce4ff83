"""Hidden units that begin as products of what is there and what changes.

A patch that moves turns one cosine into others, so the product of one wave with the change of another over time has
the sign of the movement. Which products say most, and how much each should count, follows from how alike
neighbouring pixels of a photograph are. Four units of an MLP make one product, because the even part of GELU is
nearly a square: (a + b)^2 - (a - b)^2 = 4 a b.

    stage 2, block 1   wave x change of a wave        -> how far the patch moved right, and how far it sank
    stage 2, block 2   movement x place in the frame  -> how much the picture grows, and how much it turns
    stage 3, head      their average over the frame   -> pan, tilt, zoom, roll

The four numbers correlate with the truth by 0.3 to 0.7 on easy clips before anything is learned. They have to reach
the head unmixed: where random layers lie between, training finds one mixture of pan and tilt first, feeds on it, and
loses the other (seen on two cores: after 1000 steps all that was wrong was pan right taken for tilt down, and so on).
Only attention with a shift sees a change; the other kinds keep their random units.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from laps_export.families.family import MotionOutputs
from laps_export.families.laps.layers import AttentionBlock, Mlp
from laps_export.families.laps.starting_weights.tokens import (
    WAVE_GROUPS,
    WAVES,
    GroupChannels,
    WaveGroup,
    cosines,
    first_attention,
    group_channels,
    shifted_channels,
)
from laps_export.families.laps.visformer import Laps

_ALIKE = 30.0  # pixels over which brightness stays alike: correlation falls by e
_PATCH = 16  # pixels a side of a token's patch
_STEP = 3.0  # pixels a frame, the movement that products are made for
_INPUT = 0.7  # weight of a unit's two inputs
_PLACE_INPUT = 1.0
_READOUT = 0.5  # of what a block writes
_HEAD = 0.3
_OTHERS = 0.3  # what is left of a unit's random outputs

_QUARTERS = ((1, 1), (-1, -1), (1, -1), (-1, 1))  # signs of the two inputs; the product's is their product


@dataclass(frozen=True)
class Term:
    """One product: how surely it tells a movement across (axis 0) or down (axis 1), with its sign."""

    axis: int
    changing: int
    staying: int
    worth: float


def initialise_products(model: Laps) -> None:
    """Overwrite units of the first two attention blocks' MLPs; nothing where attention has no shift.

    Raises:
        ConfigError: as `group_channels`.
    """
    blocks = [block for block in model.stage2.children() if isinstance(block, AttentionBlock)]
    if not blocks[0].attn.shift_groups:
        return
    groups = group_channels(blocks[0].attn)
    units = Units(blocks[0].mlp)
    room = units.room // len(groups)
    for group, channels in zip(WAVE_GROUPS, groups, strict=True):
        terms = best_terms(group, room // 2)
        for axis, target in enumerate((channels.right, channels.sink)):
            chosen = [term for term in terms if term.axis == axis]
            total = sum(term.worth**2 for term in chosen) ** 0.5
            for term in chosen:
                # A shifted channel now holds what is minus what was there next to it in time.
                change = {channels.ahead[term.changing]: -_INPUT, channels.back[term.changing]: _INPUT}
                there = {channels.staying[term.staying]: _INPUT}
                units.add(there, change, {target: term.worth / total * _READOUT})
    if len(blocks) > 1:
        units = Units(blocks[1].mlp)
        for channels in groups:
            for moved, place, outputs in _place_products(channels):
                units.add({moved: _PLACE_INPUT}, {place: _INPUT}, outputs)


def initialise_readout(model: Laps, outputs: MotionOutputs) -> None:
    """Let the third stage carry the four numbers to the head, and the head read them; nothing without a shift.

    Raises:
        ConfigError: as `group_channels`.
    """
    attention = first_attention(model.stage2)
    if not attention.shift_groups or model.config.classes != outputs.count:
        return
    carriers = iter(shifted_channels(first_attention(model.stage3))[2])
    carried = model.patch_embed3.proj.weight  # [2E, E, 2, 2]
    for group in group_channels(attention):
        for channel, (positive, negative) in (
            (group.right, outputs.across),
            (group.sink, outputs.down),
            (group.zoom, outputs.growth),
            (group.roll, outputs.turn),
        ):
            carrier = next(carriers)
            carried[carrier] *= _OTHERS
            carried[carrier, channel] += 0.5
            model.pos_embed3[0, carrier] = 0.0
            model.head.weight[positive, carrier] = _HEAD
            model.head.weight[negative, carrier] = -_HEAD


def best_terms(group: WaveGroup, count: int) -> list[Term]:
    """The `count` products of either axis that tell a movement most surely, surest first."""
    alike, moved, spread = wave_statistics()
    terms = []
    for (c, (cu, cv)), (s, (su, sv)) in product(enumerate(group.changing), enumerate(group.staying)):
        across = alike[su, cu] * moved[sv, cv] / (alike[su, su] * alike[sv, sv] * alike[cu, cu] * spread[cv, cv]) ** 0.5
        down = moved[su, cu] * alike[sv, cv] / (alike[su, su] * alike[sv, sv] * spread[cu, cu] * alike[cv, cv]) ** 0.5
        terms += [Term(0, c, s, float(across)), Term(1, c, s, float(down))]
    terms.sort(key=lambda term: -abs(term.worth))
    return [term for axis in (0, 1) for term in [term for term in terms if term.axis == axis][:count]]


def wave_statistics() -> tuple[Tensor, Tensor, Tensor]:
    """What the waves of a row of pixels have to do with each other, three `[WAVES, WAVES]`.

    Brightness of two pixels a distance x apart correlates by exp(-|x| / _ALIKE). Returned are the expectations of
    wave times wave; of wave times change of a wave from the frame before to the frame after, where the picture moves
    towards larger coordinates; and of change times change.
    """
    waves = cosines(_PATCH)[:WAVES].double()
    place = torch.arange(_PATCH, dtype=torch.float64)
    apart = place[:, None] - place

    def expected(shift: float) -> Tensor:
        return waves @ torch.exp(-(apart + shift).abs() / _ALIKE) @ waves.T

    change = 2 * expected(0.0) - expected(2 * _STEP) - expected(-2 * _STEP)
    return expected(0.0), expected(_STEP) - expected(-_STEP), change


class Units:
    """Hidden units of one MLP, taken four at a time from the first on."""

    def __init__(self, mlp: Mlp) -> None:
        self._inputs = mlp.conv1.weight  # [4C, C, 1, 1]
        self._outputs = mlp.conv3.weight  # [C, 4C, 1, 1]
        self._next = 0

    @property
    def room(self) -> int:
        """Products that still fit."""
        return (self._inputs.shape[0] - self._next) // len(_QUARTERS)

    def add(self, one: dict[int, float], other: dict[int, float], outputs: dict[int, float]) -> None:
        """Write the product of two weighted sums of channels into channels."""
        for sign_one, sign_other in _QUARTERS:
            row = self._next
            self._next += 1
            self._inputs[row] = 0
            for sign, channels in ((sign_one, one), (sign_other, other)):
                for channel, weight in channels.items():
                    self._inputs[row, channel, 0, 0] = sign * weight
            self._outputs[:, row] *= _OTHERS
            for channel, weight in outputs.items():
                self._outputs[channel, row, 0, 0] = sign_one * sign_other * weight


def _place_products(channels: GroupChannels) -> Iterable[tuple[int, int, dict[int, float]]]:
    """Movement, place, and what their product adds to."""
    yield channels.right, channels.across, {channels.zoom: _READOUT}
    yield channels.sink, channels.down, {channels.zoom: _READOUT}
    yield channels.sink, channels.across, {channels.roll: _READOUT}
    yield channels.right, channels.down, {channels.roll: -_READOUT}
