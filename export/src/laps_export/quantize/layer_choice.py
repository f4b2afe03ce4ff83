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
from laps_export.quantize.quantized_graph import LayerGroup, without_quantizers
from laps_export.repository.manifest import EngineParity

GROUPS = 14
MARGIN = 0.8
"""Share of the limits that is aimed at, since other views than these are gated."""

Measure = Callable[[ModelProto], EngineParity]


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


def excess(measured: EngineParity) -> float:
    """How far from float32, as a share of what is allowed: at most 1 holds."""
    changed = (1 - measured.agreement) / (1 - MIN_AGREEMENT)
    return max(measured.mean_shift / MAX_MEAN_SHIFT, measured.p99_shift / MAX_P99_SHIFT, changed)


def near_enough(measured: EngineParity) -> bool:
    """Whether a choice can be expected to hold on other views too.

    A changed label counts for more among a few views than it may; so they may have the whole share that is allowed.
    """
    shifts = max(measured.mean_shift / MAX_MEAN_SHIFT, measured.p99_shift / MAX_P99_SHIFT)
    return shifts <= MARGIN and measured.agreement >= MIN_AGREEMENT


def choose_layers(
    quantized: ModelProto, groups: Sequence[LayerGroup], measure: Measure, *, on_progress: OnProgress
) -> LayerChoice:
    """Decide on a graph that is quantised throughout.

    Args:
        quantized: by `quantize`, with nothing left in float32.
        groups: of its layers.
        measure: what a graph's scores are like on the views that are for this.
        on_progress: called after every measurement.
    """
    if near_enough(measure(quantized)):
        return LayerChoice(tuple(groups), 0)
    everything = frozenset().union(*groups)
    damage: dict[LayerGroup, float] = {}
    for done, group in enumerate(groups):
        on_progress("measuring each group of layers", done, len(groups))
        damage[group] = measure(without_quantizers(quantized, everything - group)).mean_shift
    order = tuple(sorted(groups, key=lambda group: -damage[group]))
    choice = LayerChoice(order, 0)
    tried: dict[int, float] = {}
    for count in range(1, choice.most + 1):
        on_progress("leaving out layers that hurt", count - 1, choice.most)
        measured = measure(without_quantizers(quantized, choice.in_float(count)))
        if near_enough(measured):
            return replace(choice, left_out=count)
        tried[count] = excess(measured)
    return replace(choice, left_out=min(tried, key=lambda count: tried[count], default=0))
