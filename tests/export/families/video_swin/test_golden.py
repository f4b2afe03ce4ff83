"""The network against what its authors' class computed, and each of its parts broken on purpose."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from laps_export.families.video_swin.config import VideoSwinConfig
from laps_export.families.video_swin.network import PatchMerging, VideoSwin, WindowAttention
from support.altered_networks import Changes
from support.golden_runs import NOTICED, GoldenRun, run_golden
from support.zoo_goldens import (
    LOGITS_TOLERANCE,
    STAGE_TOLERANCE,
    draw,
    fill,
    zoo_golden,
)

STAGES = ("backbone.layers.0", "backbone.layers.1", "backbone.layers.2", "backbone.norm")
LAST_SHIFTED = "backbone.layers.2.blocks.17"
"""The last block whose windows shift in time, height and width; with it the network's end begins."""
BEFORE = "backbone.layers.2.blocks.16"


Run = GoldenRun[VideoSwin]


@pytest.fixture(scope="module")
def run() -> Run:
    golden = zoo_golden("video_swin_b")
    network = VideoSwin(VideoSwinConfig()).eval()
    fill(network, golden.gains)
    unneeded = ("patch_embed", "layers.0", "layers.1", *(f"layers.2.blocks.{i}" for i in range(16)))
    earlier = (f"backbone.{name}" for name in unneeded)
    return run_golden(golden, network, stages=STAGES, earlier=earlier, last=BEFORE, expected="step_logits")


def test_names_and_shapes_are_the_authors(run: Run) -> None:
    derived = "relative_position_index"
    wanted = {name: shape for name, shape in run.golden.shapes.items() if not name.endswith(derived)}
    assert {name: tuple(value.shape) for name, value in run.network.state_dict().items()} == wanted


def test_the_recipe_draws_the_weights_it_is_known_for(run: Run) -> None:
    drawn = draw("backbone.layers.0.blocks.0.attn.relative_position_bias_table", (2535, 4), run.golden.gains)
    np.testing.assert_allclose(drawn.flatten()[:2], [-6.73722458, -1.03893363], atol=1e-7)


def test_step_logits_equal_the_authors(run: Run) -> None:
    expected = run.golden.arrays["step_logits"]
    assert run.answer.shape == expected.shape
    assert np.abs(run.answer - expected).max() <= LOGITS_TOLERANCE * expected.std()


def test_their_mean_is_the_clips_answer(run: Run) -> None:
    expected = run.golden.arrays["logits"]
    assert np.abs(run.answer.mean(0) - expected).max() <= LOGITS_TOLERANCE * expected.std()


@pytest.mark.parametrize("stage", STAGES)
def test_stages_equal_the_authors(run: Run, stage: str) -> None:
    np.testing.assert_allclose(run.figures[stage], run.golden.arrays[f"stage/{stage}"], rtol=STAGE_TOLERANCE)


def test_the_networks_end_alone_gives_the_same(run: Run) -> None:
    assert run.worst(run.beginning) <= LOGITS_TOLERANCE


def _tables(network: VideoSwin, change: Callable[[Tensor], Tensor]) -> Changes:
    """The last stage's bias tables, changed."""
    changes = {}
    for block in range(2):
        attention = network.get_submodule(f"backbone.layers.3.blocks.{block}.attn")
        assert isinstance(attention, WindowAttention)
        table = nn.Parameter(change(attention.relative_position_bias_table.detach()))
        changes[f"backbone.layers.3.blocks.{block}.attn.relative_position_bias_table"] = table
    return changes


def _no_bias(network: VideoSwin) -> Changes:
    return _tables(network, torch.zeros_like)


def _bias_read_backwards(network: VideoSwin) -> Changes:
    return _tables(network, lambda table: table.flip(0))


def _no_shift(_: VideoSwin) -> Changes:
    return {f"{LAST_SHIFTED}.shift": None}


def _no_mask(network: VideoSwin) -> Changes:
    return {"backbone.layers.2.regions": torch.zeros_like(network.get_buffer("backbone.layers.2.regions"))}


def _shift_the_other_way(_: VideoSwin) -> Changes:
    return {f"{LAST_SHIFTED}.shift": (-4, -3, -3)}


def _no_shift_in_time_in_the_last_stage(_: VideoSwin) -> Changes:
    return {"backbone.layers.3.blocks.1.shift": None}


def _merging_across_first(network: VideoSwin) -> Changes:
    merging = network.get_submodule("backbone.layers.2.downsample")
    assert isinstance(merging, PatchMerging)

    class AcrossFirst(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            merged: Tensor = merging(x.transpose(2, 3))
            return merged.transpose(2, 3)

    return {"backbone.layers.2.downsample": AcrossFirst()}


@pytest.mark.parametrize(
    "broken",
    [
        _no_bias,
        _bias_read_backwards,
        _no_shift,
        _shift_the_other_way,
        _no_mask,
        _no_shift_in_time_in_the_last_stage,
        _merging_across_first,
    ],
)
def test_a_broken_part_is_noticed(run: Run, broken: Callable[[VideoSwin], Changes]) -> None:
    assert run.worst({**run.beginning, **broken(run.network)}) > NOTICED
