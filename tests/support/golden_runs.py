"""A network on its golden's clip: one pass, and what lets later ones begin in its middle.

Parts broken on purpose are late ones where that is possible, so that most of a large network runs once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from support.altered_networks import Changes, altered, recording, replay
from support.zoo_goldens import LOGITS_TOLERANCE, ZooGolden, golden_input, stage_figures

NOTICED = 100 * LOGITS_TOLERANCE
"""What a broken part has to move the answer by, at least."""

Network = TypeVar("Network", bound=nn.Module)


def as_it_is(network: nn.Module, clip: Tensor) -> Tensor:
    """What a network returns."""
    answer: Tensor = network(clip)
    return answer


@dataclass(frozen=True, kw_only=True)
class GoldenRun(Generic[Network]):
    """One forward pass of a golden's clip.

    Attributes:
        golden: what the authors' class computed.
        network: with recipe weights, in evaluation mode.
        clip: `[1, T, 3, R, R]`.
        ask: network and clip to the answer, with the batch in front.
        answer: the pass's, without the batch.
        expected: the authors'.
        figures: mean and standard deviation by stage.
        beginning: changes by which a pass begins behind the recorded module.
    """

    golden: ZooGolden
    network: Network
    clip: Tensor
    ask: Callable[[Network, Tensor], Tensor]
    answer: NDArray[Any]
    expected: NDArray[Any]
    figures: Mapping[str, tuple[float, float]]
    beginning: Changes

    def worst(self, changes: Changes) -> float:
        """How far the answer is from the authors' with parts changed."""
        with torch.inference_mode(), altered(self.network, changes):
            answer = self.ask(self.network, self.clip)[0].numpy()
        return float(np.abs(answer - self.expected).max())


def run_golden(
    golden: ZooGolden,
    network: Network,
    *,
    stages: Iterable[str],
    earlier: Iterable[str],
    last: str,
    ask: Callable[[Network, Tensor], Tensor] = as_it_is,
    expected: str = "logits",
    beginning: Changes | None = None,
) -> GoldenRun[Network]:
    """Ask a network once.

    Args:
        golden: which.
        network: with its weights.
        stages: modules whose figures are noted.
        earlier: modules that later passes need not run,
        last: and the one whose output stands in for them.
        ask: network and clip to the answer.
        expected: the golden's array that it is compared with.
        beginning: changes more, by which later passes begin.
    """
    clip = golden_input(golden.facts["frames"], golden.facts["resolution"])
    with torch.inference_mode(), stage_figures(network, stages) as figures, recording(network, last) as middle:
        answer = ask(network, clip)[0].numpy()
    return GoldenRun(
        golden=golden,
        network=network,
        clip=clip,
        ask=ask,
        answer=answer,
        expected=golden.arrays[expected],
        figures=figures,
        beginning={**replay(earlier, last, middle[0]), **(beginning or {})},
    )
