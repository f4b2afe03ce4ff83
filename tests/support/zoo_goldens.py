"""What the authors' classes of the poster's other systems computed, and the weights by recipe that they had.

Nothing is kept here: `shared/golden/zoo/` beside the project holds the arrays, and each golden's JSON the names and
shapes of the authors' `state_dict`. Weights are drawn from a name as in `golden_weights`; only the gains differ.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from support.golden_weights import golden_input

__all__ = ["ZooGolden", "draw", "fill", "golden_input", "stage_figures", "zoo_golden"]

_BESIDE_THE_PROJECT = Path(__file__).parents[3] / "shared" / "golden" / "zoo"
LOGITS_TOLERANCE = 1e-4
"""Largest absolute difference of logits in torch; their noise is at most 8e-6."""
STAGE_TOLERANCE = 1e-4
"""Largest relative difference of a stage's mean and standard deviation."""

Gains = Sequence[tuple[str, float]]
"""Ends of names and what such weights are multiplied by; the first that fits counts, none is 1."""


@dataclass(frozen=True)
class ZooGolden:
    """One golden: its arrays by name, and its facts as the JSON has them."""

    name: str
    facts: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]]

    @property
    def gains(self) -> Gains:
        return [(end, gain) for end, gain in self.facts["gains_first_match_wins"]]

    @property
    def prefix(self) -> str:
        """What published files put before the names."""
        prefix: str = self.facts["checkpoint_prefix"]
        return prefix

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The authors' names, with shapes, in their order; without what the recipe does not draw."""
        left = set(self.facts.get("not_drawn", ()))
        return {name: tuple(shape) for name, shape in self.facts["state_dict"].items() if name not in left}


def zoo_golden(name: str) -> ZooGolden:
    """The golden of this name; skips the test, by the golden's name, where it is not there."""
    path = _BESIDE_THE_PROJECT / f"{name}.npz"
    if not path.is_file():
        pytest.skip(f"golden zoo/{name} is not on this machine")
    with np.load(path) as arrays:
        return ZooGolden(name, json.loads(path.with_suffix(".json").read_text()), dict(arrays))


def draw(name: str, shape: Sequence[int], gains: Gains) -> Tensor:
    """The recipe's value for one entry of a `state_dict`, under the authors' name without prefix."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    if name.endswith("num_batches_tracked"):
        return torch.zeros(tuple(shape), dtype=torch.int64)
    if name.endswith("running_mean"):
        values = 0.1 * rng.standard_normal(shape)
    elif name.endswith("running_var"):
        values = rng.uniform(0.5, 1.5, shape)
    elif name.endswith("bias"):
        values = 0.02 * rng.standard_normal(shape)
    elif "pos_embed" in name:
        values = 0.1 * rng.standard_normal(shape)
    elif len(shape) == 1:
        values = rng.uniform(0.5, 1.5, shape)
    else:
        gain = next((gain for end, gain in gains if name.endswith(end)), 1.0)
        values = gain * rng.standard_normal(shape) / math.sqrt(math.prod(shape[1:]))
    return torch.from_numpy(np.asarray(values, np.float32))


def fill(network: nn.Module, gains: Gains, *, authors: Mapping[str, str] | None = None) -> None:
    """Give a network its recipe weights, one at a time, since the larger ones would not be had twice.

    Args:
        network: in place.
        gains: of the golden.
        authors: own names to the authors', where they differ.
    """
    for name, value in network.state_dict().items():
        value.copy_(draw((authors or {}).get(name, name), value.shape, gains))


@contextmanager
def stage_figures(network: nn.Module, modules: Iterable[str]) -> Iterator[dict[str, tuple[float, float]]]:
    """Mean and standard deviation of what modules returned in forward passes meanwhile, in float64.

    Of the first tensor, where a module returned a tuple.
    """
    figures: dict[str, tuple[float, float]] = {}

    def note(name: str, output: Tensor | tuple[Tensor, ...]) -> None:
        values = (output if isinstance(output, Tensor) else output[0]).detach().double()
        figures[name] = (float(values.mean()), float(values.std(correction=0)))

    handles = [
        network.get_submodule(name).register_forward_hook(lambda _, __, output, name=name: note(name, output))
        for name in modules
    ]
    try:
        yield figures
    finally:
        for handle in handles:
            handle.remove()
