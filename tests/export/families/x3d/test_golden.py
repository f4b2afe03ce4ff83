"""The networks against what their authors' class computed, and each of their parts broken on purpose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from laps_export.families.position_average import log_mean_probability
from laps_export.families.registry import find_variant
from laps_export.families.x3d.network import X3D, SqueezeExcitation
from support.altered_networks import Changes
from support.golden_runs import NOTICED, GoldenRun, run_golden
from support.zoo_goldens import (
    LOGITS_TOLERANCE,
    STAGE_TOLERANCE,
    draw,
    fill,
    zoo_golden,
)

STAGES = ("s1", "s2", "s3", "s4", "s5")
BEFORE = "s4"
GOLDENS = ["x3d_l_312", "x3d_l", "x3d_xl_312", "x3d_xl"]


Run = GoldenRun[X3D]
Runs = Callable[[str], Run]


@pytest.fixture(scope="module")
def runs() -> Runs:
    """Each golden's pass is made once."""
    return cache(_run)


def _run(name: str) -> Run:
    golden = zoo_golden(name)
    config = find_variant(name.removesuffix("_312"))[1].config
    network = X3D(replace(config, resolution=golden.facts["resolution"])).eval()
    fill(network, golden.gains)
    return run_golden(
        golden, network, stages=STAGES, earlier=("s1", "s2", "s3"), last=BEFORE, ask=X3D.logits_by_position
    )


@pytest.fixture
def run(runs: Runs) -> Run:
    return runs("x3d_l_312")


@pytest.mark.parametrize("name", GOLDENS)
def test_the_network_equals_the_authors(runs: Runs, name: str) -> None:
    run = runs(name)
    assert {name: tuple(value.shape) for name, value in run.network.state_dict().items()} == run.golden.shapes
    expected = run.expected
    positions = run.answer.reshape(expected.shape)
    assert np.abs(positions - expected).max() <= LOGITS_TOLERANCE * expected.std()
    for stage in STAGES:
        np.testing.assert_allclose(
            run.figures[stage], run.golden.arrays[f"stage/{stage}"], rtol=STAGE_TOLERANCE, err_msg=stage
        )


@pytest.mark.parametrize("name", GOLDENS)
def test_the_answer_is_the_mean_of_the_positions_probabilities(runs: Runs, name: str) -> None:
    run = runs(name)
    answer = log_mean_probability(torch.from_numpy(run.answer)[None])[0].exp()
    np.testing.assert_allclose(answer.numpy(), run.golden.arrays["probabilities"], rtol=1e-4, atol=1e-7)


def test_the_recipe_draws_the_weights_it_is_known_for(run: Run) -> None:
    drawn = draw("s2.pathway0_res0.branch2.se.fc2.weight", (54, 8, 1, 1, 1), run.golden.gains)
    np.testing.assert_allclose(drawn.flatten()[:2], [0.06721646, -0.10551034], atol=1e-8)


def _no_norm_of_the_first_shortcut(_: X3D) -> Changes:
    return {"s2.pathway0_res0.branch1_bn": None}


def _relu_inside_the_stem(network: X3D) -> Changes:
    return {"s1.pathway0_stem.conv_xy": nn.Sequential(network.get_submodule("s1.pathway0_stem.conv_xy"), nn.ReLU())}


def _kernels_reversed(network: X3D) -> Changes:
    return {
        f"{name}.weight": nn.Parameter(module.weight.flip(2))
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv3d) and module.kernel_size[0] > 1
    }


@pytest.mark.parametrize("broken", [_no_norm_of_the_first_shortcut, _relu_inside_the_stem, _kernels_reversed])
def test_a_broken_early_part_is_noticed(run: Run, broken: Callable[[X3D], Changes]) -> None:
    assert run.worst(broken(run.network)) > NOTICED


def test_the_networks_end_alone_gives_the_same(run: Run) -> None:
    assert run.worst(run.beginning) <= LOGITS_TOLERANCE


def _squeezes(network: X3D) -> dict[str, SqueezeExcitation]:
    """Those of the last stage."""
    return {
        name: module
        for name, module in network.named_modules()
        if name.startswith("s5.") and isinstance(module, SqueezeExcitation)
    }


def _no_squeeze(network: X3D) -> Changes:
    return dict.fromkeys(_squeezes(network), nn.Identity())


def _swish_between(network: X3D) -> Changes:
    def forward_of(se: SqueezeExcitation) -> Callable[[Tensor], Tensor]:
        return lambda x: x * se.fc2(nn.functional.silu(se.fc1(x.mean((2, 3, 4), keepdim=True)))).sigmoid()

    return {f"{name}.forward": forward_of(se) for name, se in _squeezes(network).items()}


def _swish_at_the_end(network: X3D) -> Changes:
    def forward_of(se: SqueezeExcitation) -> Callable[[Tensor], Tensor]:
        return lambda x: x * nn.functional.silu(se.fc2(se.fc1(x.mean((2, 3, 4), keepdim=True)).relu()))

    return {f"{name}.forward": forward_of(se) for name, se in _squeezes(network).items()}


def _relu_for_swish(network: X3D) -> Changes:
    names = [name for name, _ in network.named_modules() if name.startswith("s5.") and name.endswith(".swish")]
    return dict.fromkeys(names, nn.ReLU())


def _no_relu_after_the_hidden_layer(_: X3D) -> Changes:
    return {"head.lin_5_relu": nn.Identity()}


@pytest.mark.parametrize(
    "broken", [_no_squeeze, _swish_between, _swish_at_the_end, _relu_for_swish, _no_relu_after_the_hidden_layer]
)
def test_a_broken_part_is_noticed(run: Run, broken: Callable[[X3D], Changes]) -> None:
    changes = broken(run.network)
    assert changes
    assert run.worst({**run.beginning, **changes}) > NOTICED
