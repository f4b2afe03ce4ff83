"""The networks against what their authors' class computed, and each of their parts broken on purpose."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor, nn

from laps_export.families.tdn.blocks import ContextualisedBlock
from laps_export.families.tdn.contexts import PlacesNearby
from support.altered_networks import Changes
from support.golden_runs import NOTICED
from support.tdn_goldens import EARLY, LATE, UNUSED, Break, Run, assert_equals_the_authors, last_blocks, run_of
from support.zoo_goldens import LOGITS_TOLERANCE, draw

UNUSED_NORM = re.compile(r".*\.eft3\.bn1\.\w+")


@pytest.fixture(scope="module")
def run() -> Run:
    return run_of("gc_tdn_r50_8")


@pytest.fixture(scope="module", params=["gc_tdn_r50_8", "gc_tdn_r50_16"])
def any_run(request: pytest.FixtureRequest, run: Run) -> Run:
    return run if request.param == run.golden.name else run_of(request.param)


def test_names_and_shapes_are_the_authors_but_for_what_they_never_use(any_run: Run) -> None:
    own = {name: tuple(value.shape) for name, value in any_run.network.state_dict().items()}
    unused = {name for name in any_run.golden.shapes if name in UNUSED or UNUSED_NORM.fullmatch(name)}
    assert own == {name: shape for name, shape in any_run.golden.shapes.items() if name not in unused}
    blocks = sum(isinstance(module, ContextualisedBlock) for module in any_run.network.modules())
    assert len(unused) == len(UNUSED) + 5 * blocks
    assert any_run.golden.prefix == "module."


def test_answers_and_stages_equal_the_authors(any_run: Run) -> None:
    assert_equals_the_authors(any_run)


def test_the_networks_end_alone_gives_the_same(run: Run) -> None:
    assert run.worst(run.beginning) <= LOGITS_TOLERANCE


class _Whole(nn.Module):
    """Scales by nothing."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.ones_like(x)


def _without(context: str) -> Break:
    return lambda run: {f"{name}.{context}": _Whole() for name, _ in last_blocks(run)}


def _norm_that_the_authors_skip(run: Run) -> Changes:
    class Normed(nn.Module):
        def __init__(self, nearby: PlacesNearby, name: str) -> None:
            super().__init__()
            self.conv = nearby.conv
            self.bn1 = nn.BatchNorm2d(nearby.conv.out_channels).eval()
            shapes, gains = run.golden.shapes, run.golden.gains
            self.bn1.load_state_dict(
                {key: draw(f"{name}.bn1.{key}", shapes[f"{name}.bn1.{key}"], gains) for key in self.bn1.state_dict()}
            )

        def forward(self, x: Tensor) -> Tensor:
            return torch.sigmoid(self.bn1(self.conv(x.mean(1))))[:, None]

    changes: dict[str, object] = {}
    for name, block in last_blocks(run):
        assert isinstance(block, ContextualisedBlock)
        changes[f"{name}.eft3"] = Normed(block.eft3, f"{name}.eft3")
    return changes


def _places_next_door(run: Run) -> Changes:
    changes: dict[str, object] = {}
    for name, _ in last_blocks(run):
        changes |= {f"{name}.eft3.conv.dilation": (1, 1), f"{name}.eft3.conv.padding": (1, 1)}
    return changes


def _backwards_in_time(context: str) -> Break:
    def flipped(run: Run) -> Changes:
        names = [f"{name}.{context}.conv.weight" for name, _ in last_blocks(run)]
        return {name: nn.Parameter(run.network.get_parameter(name).flip(2)) for name in names}

    return flipped


def _quarters_in_another_order(run: Run) -> Changes:
    changes: dict[str, object] = {}
    for name, block in last_blocks(run):
        assert isinstance(block, ContextualisedBlock)
        changes |= {f"{name}.eft1": block.eft4, f"{name}.eft4": block.eft1}
    return changes


CONTEXTS: dict[str, Break] = {
    **{f"no_eft{i}": _without(f"eft{i}") for i in range(1, 5)},
    "eft1_backwards": _backwards_in_time("eft1"),
    "eft2_backwards": _backwards_in_time("eft2"),
    "eft3_with_its_unused_norm": _norm_that_the_authors_skip,
    "eft3_not_dilated": _places_next_door,
    "quarters_in_another_order": _quarters_in_another_order,
}


@pytest.mark.parametrize("broken", [*LATE.values(), *CONTEXTS.values()], ids=[*LATE, *CONTEXTS])
def test_a_broken_late_part_is_noticed(run: Run, broken: Break) -> None:
    assert run.worst({**run.beginning, **broken(run)}) > NOTICED


def _plain_blocks_without_context(stage: str) -> Break:
    def unscaled(run: Run) -> Changes:
        names = [name for name, _ in run.network.get_submodule(stage).named_children()]
        return {f"{stage}.{name}.in_context": lambda x: x for name in names}

    return unscaled


PLAIN: dict[str, Break] = {
    "no_context_of_differences": _plain_blocks_without_context("base_model.resnext_layer1"),
    "no_context_of_pictures": _plain_blocks_without_context("base_model.layer1_bak"),
}


@pytest.mark.parametrize("broken", [*EARLY.values(), *PLAIN.values()], ids=[*EARLY, *PLAIN])
def test_a_broken_early_part_is_noticed(run: Run, broken: Break) -> None:
    assert run.worst(broken(run)) > NOTICED
