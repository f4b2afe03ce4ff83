"""The networks against what their authors' class computed, and each of their parts broken on purpose."""

from __future__ import annotations

import numpy as np
import pytest

from support.golden_runs import NOTICED
from support.tdn_goldens import EARLY, LATE, UNUSED, Break, Run, assert_equals_the_authors, run_of
from support.zoo_goldens import LOGITS_TOLERANCE, draw


@pytest.fixture(scope="module")
def run() -> Run:
    return run_of("tdn_r50_8")


@pytest.fixture(scope="module", params=["tdn_r50_8", "tdn_r50_8_224", "tdn_r50_16", "tdn_r101_8", "tdn_r101_16"])
def any_run(request: pytest.FixtureRequest, run: Run) -> Run:
    return run if request.param == run.golden.name else run_of(request.param)


def test_names_and_shapes_are_the_authors_but_for_what_they_never_use(any_run: Run) -> None:
    own = {name: tuple(value.shape) for name, value in any_run.network.state_dict().items()}
    assert own == {name: shape for name, shape in any_run.golden.shapes.items() if name not in UNUSED}
    assert set(any_run.golden.shapes) >= UNUSED
    assert any_run.golden.prefix == "module."


def test_the_recipe_draws_the_weights_it_is_known_for(run: Run) -> None:
    name = "base_model.layer2_bak.0.mse.conv3.weight"
    drawn = draw(name, run.golden.shapes[name], run.golden.gains)
    np.testing.assert_allclose(drawn.flatten()[:2], [1.01493287, 0.67582470], atol=1e-8)


def test_answers_and_stages_equal_the_authors(any_run: Run) -> None:
    assert_equals_the_authors(any_run)


def test_the_networks_end_alone_gives_the_same(run: Run) -> None:
    assert run.worst(run.beginning) <= LOGITS_TOLERANCE


@pytest.mark.parametrize("broken", LATE.values(), ids=LATE)
def test_a_broken_late_part_is_noticed(run: Run, broken: Break) -> None:
    assert run.worst({**run.beginning, **broken(run)}) > NOTICED


@pytest.mark.parametrize("broken", EARLY.values(), ids=EARLY)
def test_a_broken_early_part_is_noticed(run: Run, broken: Break) -> None:
    assert run.worst(broken(run)) > NOTICED
