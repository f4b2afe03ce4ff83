"""The networks against what their authors' class computed, and each of their parts broken on purpose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from laps_export.families.tdn.config import SEGMENT_FRAMES, TdnConfig
from laps_export.families.tdn.motion import MotionExcitation
from laps_export.families.tdn.network import Backbone, Tdn
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

STAGES = ("resnext_layer1", *(f"layer{stage}_bak" for stage in range(1, 5)))
UNUSED = {"base_model.conv1_temp.weight", "base_model.conv1_temp.bias"}
BEFORE = "base_model.layer3_bak"
NOTICED = 100 * LOGITS_TOLERANCE
BLOCKS = {"r50": (3, 4, 6, 3), "r101": (3, 4, 23, 3)}


@dataclass(frozen=True)
class Run:
    """One forward pass of a golden's clip, and what begins it again late."""

    golden: ZooGolden
    network: Tdn
    clip: Tensor
    steps: NDArray[Any]
    figures: dict[str, tuple[float, float]]
    beginning: Changes

    def worst(self, changes: Changes) -> float:
        """Of the segments' logits."""
        with torch.inference_mode(), altered(self.network, changes):
            steps = self.network(self.clip)[0].numpy()
        return float(np.abs(steps - self.golden.arrays["step_logits"]).max())


def _run(name: str) -> Run:
    golden = zoo_golden(name)
    frames, resolution = golden.facts["frames"], golden.facts["resolution"]
    blocks = BLOCKS[name.split("_")[1]]
    config = TdnConfig(segments=frames // SEGMENT_FRAMES, resolution=resolution, blocks=blocks)
    network = Tdn(config).eval()
    fill(network, golden.gains)
    clip = golden_input(frames, resolution)
    stages = [f"base_model.{stage}" for stage in STAGES]
    with torch.inference_mode(), stage_figures(network, stages) as figures, recording(network, BEFORE) as outputs:
        steps = network(clip)[0].numpy()
    earlier = (f"base_model.{name}" for name in ("conv1_5", "resnext_layer1", "layer1_bak", "layer2_bak"))
    beginning = {
        **replay(earlier, BEFORE, outputs[0]),
        "base_model.fused": lambda *_: None,
        "base_model.maxpool": _none,
    }
    return Run(golden, network, clip, steps, figures, beginning)


def _none(_: object) -> None:
    return None


@pytest.fixture(scope="module")
def run() -> Run:
    return _run("tdn_r50_8")


@pytest.fixture(scope="module", params=["tdn_r50_8", "tdn_r50_8_224", "tdn_r50_16", "tdn_r101_8", "tdn_r101_16"])
def any_run(request: pytest.FixtureRequest, run: Run) -> Run:
    return run if request.param == run.golden.name else _run(request.param)


def test_names_and_shapes_are_the_authors_but_for_what_they_never_use(any_run: Run) -> None:
    own = {name: tuple(value.shape) for name, value in any_run.network.state_dict().items()}
    assert own == {name: shape for name, shape in any_run.golden.shapes.items() if name not in UNUSED}
    assert set(any_run.golden.shapes) >= UNUSED
    assert any_run.golden.prefix == "module."


def test_the_recipe_draws_the_weights_it_is_known_for(run: Run) -> None:
    name = "base_model.layer2_bak.0.mse.conv3.weight"
    drawn = draw(name, run.golden.shapes[name], run.golden.gains)
    np.testing.assert_allclose(drawn.flatten()[:2], [1.01493287, 0.67582470], atol=1e-8)


def test_logits_equal_the_authors(any_run: Run) -> None:
    expected = any_run.golden.arrays["step_logits"]
    clip = any_run.golden.arrays["logits"]
    assert any_run.steps.shape == expected.shape
    assert np.abs(any_run.steps - expected).max() <= LOGITS_TOLERANCE
    assert np.abs(any_run.steps.mean(axis=0) - clip).max() <= LOGITS_TOLERANCE


@pytest.mark.parametrize("stage", STAGES)
def test_stages_equal_the_authors(any_run: Run, stage: str) -> None:
    name = f"base_model.{stage}"
    np.testing.assert_allclose(any_run.figures[name], any_run.golden.arrays[f"stage/{name}"], rtol=STAGE_TOLERANCE)


def test_the_networks_end_alone_gives_the_same(run: Run) -> None:
    assert run.worst(run.beginning) <= LOGITS_TOLERANCE


def _excitations(network: Tdn) -> dict[str, MotionExcitation]:
    """Those of the last stage, by name."""
    return {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, MotionExcitation) and "layer4_bak" in name
    }


def _no_excitation(network: Tdn) -> Changes:
    return {name: nn.Identity() for name in _excitations(network)}


def _forward_differences_twice(network: Tdn) -> Changes:
    def changed(module: MotionExcitation) -> Callable[[Tensor], Tensor]:
        gate = module.gate
        calls: list[Tensor] = []

        def first_again(differences: Tensor) -> Tensor:
            calls.append(differences)
            return gate(calls[(len(calls) - 1) // 2 * 2])

        return first_again

    return {f"{name}.gate": changed(module) for name, module in _excitations(network).items()}


def _without(part: str) -> Callable[[Tdn], Changes]:
    class Nothing(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.zeros_like(x)

    return lambda network: {f"{name}.{part}": Nothing() for name in _excitations(network)}


def _smallscale4_pooled_by_4(network: Tdn) -> Changes:
    class Pooled(nn.Module):
        def __init__(self, convolution: nn.Module) -> None:
            super().__init__()
            self.convolution = convolution

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.convolution(functional.avg_pool2d(x, 4))
            return functional.interpolate(y, x.shape[2:], mode="nearest")

    return {
        f"{name}.conv3_smallscale4": Pooled(module.conv3_smallscale4) for name, module in _excitations(network).items()
    }


def _no_shift(_: Tdn) -> Changes:
    return {f"base_model.layer4_bak.{block}.shift": nn.Identity() for block in range(3)}


def _shift_backwards(network: Tdn) -> Changes:
    names = [f"base_model.layer4_bak.{block}.shift.conv.weight" for block in range(3)]
    return {name: nn.Parameter(network.get_parameter(name).flip(2)) for name in names}


@pytest.mark.parametrize(
    "broken",
    [
        _no_excitation,
        _forward_differences_twice,
        pytest.param(_without("bn3_smallscale2"), id="_no_smallscale2"),
        pytest.param(_without("bn3_smallscale4"), id="_no_smallscale4"),
        _smallscale4_pooled_by_4,
        _no_shift,
        _shift_backwards,
    ],
)
def test_a_broken_late_part_is_noticed(run: Run, broken: Callable[[Tdn], Changes]) -> None:
    assert run.worst({**run.beginning, **broken(run.network)}) > NOTICED


def _no_early_differences(network: Tdn) -> Changes:
    return {"base_model.fused": _fused_without(network.base_model, first=True)}


def _no_late_differences(network: Tdn) -> Changes:
    return {"base_model.fused": _fused_without(network.base_model, first=False)}


def _fused_without(backbone: Backbone, *, first: bool) -> Callable[[Tensor, Tensor], Tensor]:
    fused = backbone.fused
    calls: list[bool] = []

    def skips_one(picture: Tensor, differences: Tensor) -> Tensor:
        calls.append(True)
        return picture if (len(calls) == 1) == first else fused(picture, differences)

    return skips_one


def _shares_of_other_segments(_: Tdn) -> Changes:
    return {"base_model.picture_share": 0.75}


def _differences_backwards(network: Tdn) -> Changes:
    weight = network.base_model.conv1_5.get_parameter("0.weight")
    return {"base_model.conv1_5.0.weight": nn.Parameter(-weight)}


def _first_frame_for_the_third(network: Tdn) -> Changes:
    convolution = network.base_model.conv1

    class FirstFrame(nn.Module):
        def forward(self, _: Tensor) -> Tensor:
            y: Tensor = convolution(golden_input(40, 256)[0, ::SEGMENT_FRAMES])
            return y

    return {"base_model.conv1": FirstFrame()}


@pytest.mark.parametrize(
    "broken",
    [
        _no_early_differences,
        _no_late_differences,
        _shares_of_other_segments,
        _differences_backwards,
        _first_frame_for_the_third,
    ],
)
def test_a_broken_early_part_is_noticed(run: Run, broken: Callable[[Tdn], Changes]) -> None:
    assert run.worst(broken(run.network)) > NOTICED
