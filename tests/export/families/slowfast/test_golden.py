"""The networks against what their authors' class computed, and each of their parts broken on purpose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from laps_export.families.position_average import log_mean_probability
from laps_export.families.registry import find_variant
from laps_export.families.slowfast.network import Fusion, Pathways, SlowFast
from support.altered_networks import Changes, recording
from support.golden_runs import NOTICED, GoldenRun, run_golden
from support.zoo_goldens import (
    LOGITS_TOLERANCE,
    STAGE_TOLERANCE,
    ZooGolden,
    draw,
    fill,
    zoo_golden,
)

STAGES = ("s1_fuse", "s2_fuse", "s3", "s4", "s5")
BEFORE = "s3"
R50, R101 = "slowfast_8x8_r50", "slowfast_16x8_r101_nl"


@dataclass(frozen=True)
class Run:
    """A golden's pass, and what each of its steps said."""

    whole: GoldenRun[SlowFast]
    steps: NDArray[Any]


Runs = Callable[[str], Run]


@pytest.fixture(scope="module")
def runs() -> Runs:
    """Each golden's pass is made once, and each network's weights are drawn once."""

    @cache
    def network_of(variant: str) -> SlowFast:
        network = SlowFast(find_variant(variant)[1].config).eval()
        fill(network, zoo_golden(variant).gains)
        return network

    @cache
    def run(name: str) -> Run:
        golden, full = zoo_golden(name), network_of(name.removesuffix("_224"))
        config = replace(full.config, resolution=golden.facts["resolution"])
        with torch.device("meta"):
            network = SlowFast(config).eval()
        network.load_state_dict(full.state_dict(), assign=True)
        network.slow_frames = full.slow_frames
        return _run(golden, network)

    return run


def _run(golden: ZooGolden, network: SlowFast) -> Run:
    with recording(network, "s5") as end:
        whole = run_golden(
            golden,
            network,
            stages=STAGES,
            earlier=("s1", "s1_fuse", "s2", "s2_fuse"),
            last=BEFORE,
            ask=SlowFast.logits_by_position,
        )
    with torch.inference_mode():
        return Run(whole, _step_logits(network, end[0]))


def _step_logits(network: SlowFast, pathways: Pathways) -> NDArray[Any]:
    """What each step of the slow pathway and its four fast frames say: their mean is the clip's logits."""
    slow, fast = (x.mean((-2, -1))[0] for x in pathways)  # [C, T/4], [c, T]
    fast = fast.reshape(fast.shape[0], slow.shape[1], -1).mean(-1)
    steps: NDArray[Any] = network.head.projection(torch.cat([slow, fast]).T).numpy()
    return steps


@pytest.fixture
def run(runs: Runs) -> GoldenRun[SlowFast]:
    return runs(f"{R50}_224").whole


@pytest.fixture
def non_local_run(runs: Runs) -> GoldenRun[SlowFast]:
    return runs(f"{R101}_224").whole


@pytest.mark.parametrize("name", [f"{R50}_224", R50, f"{R101}_224", R101])
def test_the_network_equals_the_authors(runs: Runs, name: str) -> None:
    any_run, steps = runs(name).whole, runs(name).steps
    assert {name: tuple(value.shape) for name, value in any_run.network.state_dict().items()} == any_run.golden.shapes
    arrays = any_run.golden.arrays
    expected = any_run.expected
    positions = any_run.answer.reshape(expected.shape)
    assert np.abs(positions - expected).max() <= LOGITS_TOLERANCE * expected.std()
    for stage in STAGES:
        figures = arrays[f"stage/{stage} (slow output)"]
        np.testing.assert_allclose(any_run.figures[stage], figures, rtol=STAGE_TOLERANCE, err_msg=stage)
    if "step_logits" in arrays:
        assert np.abs(steps - arrays["step_logits"]).max() <= LOGITS_TOLERANCE * expected.std()


def test_the_answer_is_the_mean_of_the_positions_probabilities(runs: Runs) -> None:
    run = runs(R50).whole
    answer = log_mean_probability(torch.from_numpy(run.answer)[None])[0].exp()
    np.testing.assert_allclose(answer.numpy(), run.golden.arrays["probabilities"], rtol=1e-4, atol=1e-7)


def test_the_recipe_draws_the_weights_it_is_known_for(run: GoldenRun[SlowFast]) -> None:
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
def test_a_broken_part_is_noticed(run: GoldenRun[SlowFast], broken: Callable[[SlowFast], Changes]) -> None:
    assert run.worst(broken(run.network)) > NOTICED


def test_the_networks_end_alone_gives_the_same(non_local_run: GoldenRun[SlowFast]) -> None:
    assert non_local_run.worst(non_local_run.beginning) <= LOGITS_TOLERANCE * non_local_run.answer.std()


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
def test_a_broken_non_local_block_is_noticed(non_local_run: GoldenRun[SlowFast], changes: Changes) -> None:
    assert non_local_run.worst({**non_local_run.beginning, **changes}) > NOTICED
