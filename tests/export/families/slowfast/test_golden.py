"""The networks against what their authors' class computed, and each of their parts broken on purpose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from laps_export.families.registry import find_variant
from laps_export.families.slowfast.config import SlowFastConfig
from laps_export.families.slowfast.network import Fusion, Pathways, SlowFast
from support.altered_networks import Changes, altered, recording, replay
from support.zoo_goldens import (
    LOGITS_TOLERANCE,
    STAGE_TOLERANCE,
    ZooGolden,
    draw,
    fill,
    golden_input,
    stage_figures,
    zoo_golden,
)

STAGES = ("s1_fuse", "s2_fuse", "s3", "s4", "s5")
BEFORE = "s3"
NOTICED = 100 * LOGITS_TOLERANCE
R50, R101 = "slowfast_8x8_r50", "slowfast_16x8_r101_nl"


@dataclass(frozen=True)
class Run:
    """One forward pass of a golden's clip, and what begins it again late."""

    golden: ZooGolden
    network: SlowFast
    clip: Tensor
    positions: NDArray[Any]
    steps: NDArray[Any]
    figures: dict[str, tuple[float, float]]
    beginning: Changes

    def worst(self, changes: Changes) -> float:
        with torch.inference_mode(), altered(self.network, changes):
            positions = self.network.logits_by_position(self.clip)[0].numpy()
        return float(np.abs(positions - self.golden.arrays["logits"]).max())


def _run(name: str) -> Run:
    golden = zoo_golden(name)
    config: SlowFastConfig = find_variant(name.removesuffix("_224"))[1].config
    config = SlowFastConfig.from_json({**config.to_json(), "resolution": golden.facts["resolution"]})
    network = SlowFast(config).eval()
    fill(network, golden.gains)
    clip = golden_input(config.frames, config.resolution)
    with (
        torch.inference_mode(),
        stage_figures(network, STAGES) as figures,
        recording(network, BEFORE) as middle,
        recording(network, "s5") as end,
    ):
        positions = network.logits_by_position(clip)[0].numpy()
        steps = _step_logits(network, end[0])
    beginning = replay(("s1", "s1_fuse", "s2", "s2_fuse"), BEFORE, middle[0])
    return Run(golden, network, clip, positions, steps, figures, beginning)


def _step_logits(network: SlowFast, pathways: Pathways) -> NDArray[Any]:
    """What each step of the slow pathway and its four fast frames say: their mean is the clip's logits."""
    slow, fast = (x.mean((-2, -1))[0] for x in pathways)  # [C, T/4], [c, T]
    fast = fast.reshape(fast.shape[0], slow.shape[1], -1).mean(-1)
    steps: NDArray[Any] = network.head.projection(torch.cat([slow, fast]).T).numpy()
    return steps


@pytest.fixture(scope="module")
def run() -> Run:
    return _run(f"{R50}_224")


@pytest.fixture(scope="module")
def non_local_run() -> Run:
    return _run(f"{R101}_224")


@pytest.fixture(scope="module", params=[f"{R50}_224", R50, f"{R101}_224", R101])
def any_run(request: pytest.FixtureRequest) -> Run:
    return _run(request.param)


def test_the_network_equals_the_authors(any_run: Run) -> None:
    assert {name: tuple(value.shape) for name, value in any_run.network.state_dict().items()} == any_run.golden.shapes
    arrays = any_run.golden.arrays
    expected = arrays["logits"]
    positions = any_run.positions.reshape(expected.shape)
    assert np.abs(positions - expected).max() <= LOGITS_TOLERANCE * expected.std()
    for stage in STAGES:
        figures = arrays[f"stage/{stage} (slow output)"]
        np.testing.assert_allclose(any_run.figures[stage], figures, rtol=STAGE_TOLERANCE, err_msg=stage)
    if "step_logits" in arrays:
        assert np.abs(any_run.steps - arrays["step_logits"]).max() <= LOGITS_TOLERANCE * expected.std()


def test_the_answer_is_the_mean_of_the_positions_probabilities() -> None:
    run = _run(R50)
    with torch.inference_mode():
        answer = run.network(run.clip)[0]
    np.testing.assert_allclose(answer.exp().numpy(), run.golden.arrays["probabilities"], rtol=1e-4, atol=1e-7)


def test_the_recipe_draws_the_weights_it_is_known_for(run: Run) -> None:
    drawn = draw("s1_fuse.conv_f2s.weight", (16, 8, 7, 1, 1), run.golden.gains)
    np.testing.assert_allclose(drawn.flatten()[:2], [-0.10365774, 0.02427491], atol=1e-8)


def _no_fusion(name: str) -> Callable[[SlowFast], Changes]:
    return lambda network: {
        f"{name}.bn.{part}": torch.nn.Parameter(torch.zeros_like(getattr(network.get_submodule(f"{name}.bn"), part)))
        for part in ("weight", "bias")
    }


def _fused_in_front(network: SlowFast) -> Changes:
    fusion = network.s1_fuse
    assert isinstance(fusion, Fusion)

    def forward(pathways: Pathways) -> Pathways:
        slow, fast = pathways
        return torch.cat([fusion.bn(fusion.conv_f2s(fast)).relu(), slow], dim=1), fast

    return {"s1_fuse.forward": forward}


def _every_fourth_frame(network: SlowFast) -> Changes:
    return {"slow_frames": torch.arange(0, network.config.frames, 4)}


def _kernels_reversed(network: SlowFast) -> Changes:
    return {
        f"{name}.weight": torch.nn.Parameter(module.weight.flip(2))
        for name, module in network.named_modules()
        if isinstance(module, torch.nn.Conv3d) and name.endswith("branch2.a")
    }


@pytest.mark.parametrize(
    "broken",
    [
        *(pytest.param(_no_fusion(f"s{i}_fuse"), id=f"_no_s{i}_fuse") for i in (1, 2, 3, 4)),
        _fused_in_front,
        _every_fourth_frame,
        _kernels_reversed,
    ],
)
def test_a_broken_part_is_noticed(run: Run, broken: Callable[[SlowFast], Changes]) -> None:
    assert run.worst(broken(run.network)) > NOTICED


NON_LOCALS = [f"s4.pathway0_nonlocal{block}" for block in (6, 13, 20)]


@pytest.mark.parametrize(
    "changes",
    [
        *({name: torch.nn.Identity()} for name in NON_LOCALS),
        {f"{name}.weigh": lambda products: products.softmax(-1) for name in NON_LOCALS},
        {f"{name}.pool": torch.nn.Identity() for name in NON_LOCALS},
    ],
    ids=["no_6", "no_13", "no_20", "softmax", "no_pooling"],
)
def test_a_broken_non_local_block_is_noticed(non_local_run: Run, changes: Changes) -> None:
    assert non_local_run.worst({**non_local_run.beginning, **changes}) > NOTICED
