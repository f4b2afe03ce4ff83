"""The network against what its authors' class computed, and each of its parts broken on purpose."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from laps_export.families.timesformer.config import TimesformerConfig
from laps_export.families.timesformer.network import Block, Timesformer
from support.altered_networks import Changes
from support.golden_runs import NOTICED, GoldenRun, run_golden
from support.zoo_goldens import (
    LOGITS_TOLERANCE,
    STAGE_TOLERANCE,
    draw,
    fill,
    zoo_golden,
)

STAGES = ("blocks.0", "blocks.5", "blocks.11", "norm")


Run = GoldenRun[Timesformer]


@pytest.fixture(scope="module")
def run() -> Run:
    golden = zoo_golden("timesformer")
    network = Timesformer(TimesformerConfig()).eval()
    fill(network, golden.gains)
    return run_golden(golden, network, stages=STAGES, earlier=(f"blocks.{i}" for i in range(10)), last="blocks.10")


def test_names_and_shapes_are_the_authors(run: Run) -> None:
    assert {name: tuple(value.shape) for name, value in run.network.state_dict().items()} == run.golden.shapes


def test_the_recipe_draws_the_weights_it_is_known_for(run: Run) -> None:
    drawn = draw("time_embed", (1, 8, 768), run.golden.gains)
    np.testing.assert_allclose(drawn.flatten()[:2], [-0.21077655, 0.25822800], atol=1e-8)


def test_logits_equal_the_authors(run: Run) -> None:
    expected = run.golden.arrays["logits"]
    assert run.answer.shape == expected.shape
    assert np.abs(run.answer - expected).max() <= LOGITS_TOLERANCE * expected.std()


@pytest.mark.parametrize("stage", STAGES)
def test_stages_equal_the_authors(run: Run, stage: str) -> None:
    np.testing.assert_allclose(run.figures[stage], run.golden.arrays[f"stage/{stage}"], rtol=STAGE_TOLERANCE)


@pytest.mark.parametrize("name", ["pos_embed", "time_embed"])
def test_tokens_without_their_place_or_time_are_noticed(run: Run, name: str) -> None:
    zeros = nn.Parameter(torch.zeros_like(getattr(run.network, name)))
    assert run.worst({name: zeros}) > NOTICED


def test_the_last_block_alone_gives_the_same(run: Run) -> None:
    assert run.worst(run.beginning) <= LOGITS_TOLERANCE


def _no_temporal_attention(block: Block) -> Changes:
    shape = (-1, block.places, block.frames, block.norm1.normalized_shape[0])
    return {"_along_time": lambda patches: patches.reshape(shape)}


def _no_temporal_fc(_: Block) -> Changes:
    return {"temporal_fc": nn.Identity()}


def _no_norm_before_temporal_attention(_: Block) -> Changes:
    return {"temporal_norm1": nn.Identity()}


def _places_for_times(block: Block) -> Changes:
    return {"frames": block.places, "places": block.frames}


def _first_class_token_for_the_mean(block: Block) -> Changes:
    within_frames = block._within_frames

    def first(cls: Tensor, patches: Tensor) -> Tensor:
        rows = torch.cat([cls, patches[:, :, 0]], dim=1)  # [B, 1 + N, C], of frame 0
        return torch.cat([cls + block.attn(block.norm1(rows))[:, :1], within_frames(cls, patches)[:, 1:]], dim=1)

    return {"_within_frames": first}


@pytest.mark.parametrize(
    "broken",
    [
        _no_temporal_attention,
        _no_temporal_fc,
        _no_norm_before_temporal_attention,
        _places_for_times,
        _first_class_token_for_the_mean,
    ],
)
def test_a_broken_part_of_the_last_block_is_noticed(run: Run, broken: Callable[[Block], Changes]) -> None:
    block = run.network.get_submodule("blocks.11")
    assert isinstance(block, Block)
    assert run.worst({**run.beginning, **{f"blocks.11.{name}": part for name, part in broken(block).items()}}) > NOTICED
