"""TDN and GC-TDN on their goldens' clips, and the parts that both have broken on purpose.

Late parts are broken in the last stage alone, which is all that has to be computed again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from laps_export.families.registry import find_variant
from laps_export.families.tdn.blocks import Block
from laps_export.families.tdn.config import SEGMENT_FRAMES, TdnConfig
from laps_export.families.tdn.motion import MotionExcitation
from laps_export.families.tdn.network import Backbone, Tdn
from support.altered_networks import Changes, Recorded
from support.golden_runs import GoldenRun, run_golden
from support.zoo_goldens import (
    LOGITS_TOLERANCE,
    STAGE_TOLERANCE,
    fill,
    zoo_golden,
)

STAGES = tuple(f"base_model.{stage}" for stage in ("resnext_layer1", *(f"layer{i}_bak" for i in range(1, 5))))
UNUSED = {"base_model.conv1_temp.weight", "base_model.conv1_temp.bias"}
"""What the authors' classes have and never call."""

_LAST, _BEFORE = "base_model.layer4_bak", "base_model.layer3_bak"


Run = GoldenRun[Tdn]
Break = Callable[[Run], Changes]


def run_of(name: str) -> Run:
    """Build the network of a golden and ask it; skips the test where the golden is not there."""
    golden = zoo_golden(name)
    family, row = find_variant(name.removesuffix("_224"))
    config = TdnConfig.from_json({**row.config.to_json(), "resolution": golden.facts["resolution"]})
    network = family.build(config).eval()
    assert isinstance(network, Tdn)
    fill(network, golden.gains)
    earlier = ("conv1_5", "maxpool", "resnext_layer1", "conv1", "bn1", "layer1_bak", "layer2_bak")
    beginning = {
        "base_model.bn1": Recorded(torch.zeros(1)),  # a function behind it, not a module
        "base_model.fused": lambda *_: None,
    }
    return run_golden(
        golden,
        network,
        stages=STAGES,
        earlier=(f"base_model.{part}" for part in earlier),
        last=_BEFORE,
        expected="step_logits",
        beginning=beginning,
    )


def last_blocks(run: Run) -> Iterator[tuple[str, Block]]:
    """Those of the last stage."""
    for name, block in run.network.get_submodule(_LAST).named_children():
        assert isinstance(block, Block)
        yield f"{_LAST}.{name}", block


def assert_equals_the_authors(run: Run) -> None:
    """Logits of segments and clip, and stages."""
    arrays = run.golden.arrays
    assert run.answer.shape == arrays["step_logits"].shape
    assert np.abs(run.answer - arrays["step_logits"]).max() <= LOGITS_TOLERANCE
    assert np.abs(run.answer.mean(axis=0) - arrays["logits"]).max() <= LOGITS_TOLERANCE
    for stage in STAGES:
        np.testing.assert_allclose(run.figures[stage], arrays[f"stage/{stage}"], rtol=STAGE_TOLERANCE, err_msg=stage)


def _excitations(run: Run) -> dict[str, MotionExcitation]:
    found: dict[str, MotionExcitation] = {}
    for name, block in last_blocks(run):
        assert isinstance(block.mse, MotionExcitation)
        found[f"{name}.mse"] = block.mse
    return found


def _no_excitation(run: Run) -> Changes:
    return {name: nn.Identity() for name in _excitations(run)}


def _forward_differences_twice(run: Run) -> Changes:
    def changed(module: MotionExcitation) -> Callable[[Tensor], Tensor]:
        gate = module.gate
        calls: list[Tensor] = []

        def first_again(differences: Tensor) -> Tensor:
            calls.append(differences)
            return gate(calls[(len(calls) - 1) // 2 * 2])

        return first_again

    return {f"{name}.gate": changed(module) for name, module in _excitations(run).items()}


class _Nothing(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


def _no_smallscale2(run: Run) -> Changes:
    return {f"{name}.bn3_smallscale2": _Nothing() for name in _excitations(run)}


def _no_smallscale4(run: Run) -> Changes:
    return {f"{name}.bn3_smallscale4": _Nothing() for name in _excitations(run)}


class _PooledBy4(nn.Module):
    def __init__(self, convolution: nn.Module) -> None:
        super().__init__()
        self.convolution = convolution

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.convolution(functional.avg_pool2d(x, 4))
        return functional.interpolate(y, x.shape[2:], mode="nearest")


def _smallscale4_pooled_by_4(run: Run) -> Changes:
    return {
        f"{name}.conv3_smallscale4": _PooledBy4(module.conv3_smallscale4) for name, module in _excitations(run).items()
    }


def _no_shift(run: Run) -> Changes:
    return {f"{name}.shift": nn.Identity() for name, _ in last_blocks(run)}


def _shift_backwards(run: Run) -> Changes:
    names = [f"{name}.shift.conv.weight" for name, _ in last_blocks(run)]
    return {name: nn.Parameter(run.network.get_parameter(name).flip(2)) for name in names}


LATE: dict[str, Break] = {
    "no_excitation": _no_excitation,
    "forward_differences_twice": _forward_differences_twice,
    "no_smallscale2": _no_smallscale2,
    "no_smallscale4": _no_smallscale4,
    "smallscale4_pooled_by_4": _smallscale4_pooled_by_4,
    "no_shift": _no_shift,
    "shift_backwards": _shift_backwards,
}
"""To be had with `Run.beginning`."""


def _no_early_differences(run: Run) -> Changes:
    return {"base_model.fused": _fused_without(run.network.base_model, first=True)}


def _no_late_differences(run: Run) -> Changes:
    return {"base_model.fused": _fused_without(run.network.base_model, first=False)}


def _fused_without(backbone: Backbone, *, first: bool) -> Callable[[Tensor, Tensor], Tensor]:
    fused = backbone.fused
    calls: list[bool] = []

    def skips_one(picture: Tensor, differences: Tensor) -> Tensor:
        calls.append(True)
        return picture if (len(calls) == 1) == first else fused(picture, differences)

    return skips_one


def _no_blocks_over_differences(_: Run) -> Changes:
    class Widened(nn.Module):
        def forward(self, early: Tensor) -> Tensor:
            return early.repeat(1, 4, 1, 1)

    return {"base_model.resnext_layer1": Widened()}


def _shares_of_16_segments(_: Run) -> Changes:
    return {"base_model.picture_share": 0.75}


def _differences_backwards(run: Run) -> Changes:
    weight = run.network.base_model.conv1_5.get_parameter("0.weight")
    return {"base_model.conv1_5.0.weight": nn.Parameter(-weight)}


def _first_frame_for_the_third(run: Run) -> Changes:
    convolution, clip = run.network.base_model.conv1, run.clip

    class FirstFrame(nn.Module):
        def forward(self, _: Tensor) -> Tensor:
            y: Tensor = convolution(clip[0, ::SEGMENT_FRAMES])
            return y

    return {"base_model.conv1": FirstFrame()}


EARLY: dict[str, Break] = {
    "no_early_differences": _no_early_differences,
    "no_late_differences": _no_late_differences,
    "no_blocks_over_differences": _no_blocks_over_differences,
    "shares_of_16_segments": _shares_of_16_segments,
    "differences_backwards": _differences_backwards,
    "first_frame_for_the_third": _first_frame_for_the_third,
}
"""For a run of 8 segments, which has to be computed from the start."""
