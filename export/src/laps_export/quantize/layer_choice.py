"""Which layers stay in float32: a measured rule, and not a list of names.

Each group of layers is quantised alone, and what it does to the scores is its damage. In the order of damage, groups
are left out until the rest is near enough to float32, or until half of them are out: what is left then would hardly
be faster than the float32 graph.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from onnx import ModelProto

from laps_export.progress import OnProgress
from laps_export.quantize.parity_limits import MAX_MEAN_SHIFT, MAX_P99_SHIFT, MIN_AGREEMENT
from laps_export.quantize.quantized_graph import LayerGroup, in_float_again
from laps_export.repository.manifest import EngineParity

GROUPS = 28
MARGIN = 0.8
"""Share of the limits that is aimed at, since other views than these are gated."""

DAMAGE_VIEWS = 64
"""Fewer do for the order of the groups, and there are many groups."""

Measure = Callable[[ModelProto, int | None], EngineParity]
"""What a graph's scores are like on so many of the views that are for this; on all of them for None."""


@dataclass(frozen=True)
class LayerChoice:
    """Groups in the order in which they are left out, and how many of them that should be."""

    order: tuple[LayerGroup, ...]
    left_out: int

    @property
    def most(self) -> int:
        """How many groups may be left out."""
        return len(self.order) // 2

    def in_float(self, left_out: int) -> LayerGroup:
        """The nodes of the first groups."""
        return frozenset().union(*self.order[:left_out])


def near_enough(measured: EngineParity) -> bool:
    """Whether a choice can be expected to hold on other views too.

    One changed label is much among a few views, so that share may be what is allowed.
    """
    shifts = max(measured.mean_shift / MAX_MEAN_SHIFT, measured.p99_shift / MAX_P99_SHIFT)
    return shifts <= MARGIN and measured.agreement >= MIN_AGREEMENT


def choose_layers(
    quantized: ModelProto,
    source: ModelProto,
    groups: Sequence[LayerGroup],
    measure: Measure,
    *,
    on_progress: OnProgress,
) -> LayerChoice:
    """Decide on a graph that is quantised throughout.

    Args:
        quantized: by `quantize`, with nothing left in float32.
        source: what it was made of.
        groups: of its layers.
        measure: runs a graph.
        on_progress: called after every measurement.
    """
    if near_enough(measure(quantized, None)):
        return LayerChoice(tuple(groups), 0)
    everything = frozenset().union(*groups)
    damage: dict[LayerGroup, float] = {}
    for done, group in enumerate(groups):
        on_progress("measuring each group of layers", done, len(groups))
        damage[group] = measure(in_float_again(quantized, source, everything - group), DAMAGE_VIEWS).mean_shift
    order = tuple(sorted(groups, key=lambda group: -damage[group]))
    choice = LayerChoice(order, 0)

    def holds(count: int) -> bool:
        on_progress("leaving out layers that hurt", count, choice.most)
        return near_enough(measure(in_float_again(quantized, source, choice.in_float(count)), None))

    # The least of 1 to `most` that is near enough: the more is left out, the nearer it is. If none is, it is `most`.
    too_few, enough = 0, choice.most
    while enough - too_few > 1:
        count = (too_few + enough) // 2
        too_few, enough = (too_few, count) if holds(count) else (count, enough)
    return replace(choice, left_out=enough)
