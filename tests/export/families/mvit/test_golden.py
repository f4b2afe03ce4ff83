"""The networks against what their authors' class computed, and each of their parts broken on purpose."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from laps_export.families.mvit.config import MvitConfig
from laps_export.families.mvit.network import Block, Mvit
from support.altered_networks import Changes
from support.golden_runs import NOTICED, GoldenRun, run_golden
from support.zoo_goldens import (
    LOGITS_TOLERANCE,
    STAGE_TOLERANCE,
    draw,
    fill,
    zoo_golden,
)

STAGES = ("blocks.0", "blocks.2", "blocks.13", "norm")
BEFORE = "blocks.12"
"""The network's end is its last three blocks: one widens, one pools queries too, one pools keys and values alone."""


Run = GoldenRun[Mvit]


def _run(frames: int) -> Run:
    golden = zoo_golden(f"mvit_b_{frames}")
    network = Mvit(MvitConfig(frames=frames)).eval()
    fill(network, golden.gains)
    return run_golden(golden, network, stages=STAGES, earlier=(f"blocks.{i}" for i in range(12)), last=BEFORE)


@pytest.fixture(scope="module")
def run() -> Run:
    return _run(16)


@pytest.fixture(scope="module", params=[16, 64])
def any_run(request: pytest.FixtureRequest, run: Run) -> Run:
    return run if request.param == 16 else _run(request.param)


def test_names_and_shapes_are_the_authors(any_run: Run) -> None:
    assert {name: tuple(value.shape) for name, value in any_run.network.state_dict().items()} == any_run.golden.shapes


def test_the_recipe_draws_the_weights_it_is_known_for(run: Run) -> None:
    drawn = draw("pos_embed_spatial", (1, 3136, 96), run.golden.gains)
    np.testing.assert_allclose(drawn.flatten()[:2], [-0.00824118, 0.06463501], atol=1e-8)


def test_logits_equal_the_authors(any_run: Run) -> None:
    expected = any_run.golden.arrays["logits"]
    assert any_run.answer.shape == expected.shape
    assert np.abs(any_run.answer - expected).max() <= LOGITS_TOLERANCE * expected.std()


@pytest.mark.parametrize("stage", STAGES)
def test_stages_equal_the_authors(any_run: Run, stage: str) -> None:
    np.testing.assert_allclose(any_run.figures[stage], any_run.golden.arrays[f"stage/{stage}"], rtol=STAGE_TOLERANCE)


@pytest.mark.parametrize("name", ["pos_embed_spatial", "pos_embed_temporal", "pos_embed_class", "cls_token"])
def test_tokens_without_their_place_or_time_are_noticed(run: Run, name: str) -> None:
    zeros = nn.Parameter(torch.zeros_like(getattr(run.network, name)))
    assert run.worst({name: zeros}) > NOTICED


def test_the_networks_end_alone_gives_the_same(run: Run) -> None:
    assert run.worst(run.beginning) <= LOGITS_TOLERANCE


def _proj_on_the_stream(network: Mvit) -> Changes:
    block = network.get_submodule("blocks.13")
    assert isinstance(block, Block)
    assert block.proj is not None
    proj = block.proj

    def altered_forward(x: Tensor) -> Tensor:
        x = block.skip(x) + block.attn(block.norm1(x))
        mixed: Tensor = proj(x) + block.mlp(block.norm2(x))
        return mixed

    return {"blocks.13.forward": altered_forward}


def _average_in_the_skip(_: Mvit) -> Changes:
    class Average(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            maps = x[:, 1:].reshape(-1, 14, 14, x.shape[-1]).permute(0, 3, 1, 2)
            maps = functional.avg_pool2d(maps, 3, stride=2, padding=1)
            tokens = maps.flatten(2).transpose(1, 2).reshape(x.shape[0], -1, x.shape[-1])
            return torch.cat([x[:, :1], tokens], dim=1)

    return {"blocks.14.skip": Average()}


def _without_norm(part: str) -> Callable[[Mvit], Changes]:
    return lambda _: {f"blocks.14.attn.norm_{part}": nn.Identity()}


def _last_keys_and_values_unpooled(_: Mvit) -> Changes:
    return {f"blocks.{block}.attn.pool_{part}": None for block in (14, 15) for part in "kv"}


@pytest.mark.parametrize(
    "broken",
    [
        _proj_on_the_stream,
        _average_in_the_skip,
        pytest.param(_without_norm("q"), id="_no_norm_q"),
        pytest.param(_without_norm("k"), id="_no_norm_k"),
        pytest.param(_without_norm("v"), id="_no_norm_v"),
        _last_keys_and_values_unpooled,
    ],
)
def test_a_broken_part_is_noticed(run: Run, broken: Callable[[Mvit], Changes]) -> None:
    assert run.worst({**run.beginning, **broken(run.network)}) > NOTICED


def test_queries_in_slices_attend_as_at_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("laps_export.families.mvit.attention._MAX_SCORES", 8 * 100 * 393)
    assert run.worst(run.beginning) <= LOGITS_TOLERANCE
