"""The published costs, reproduced."""

from __future__ import annotations

import pytest

from laps_export.families import registry
from laps_export.families.laps.visformer import Laps
from laps_export.graph.complexity import measure
from support.small_laps import as_model

PUBLISHED = {
    "base2d": (39.074, 39.758),
    "base3d": (46.509, 39.758),
    "plain_shift": (39.074, 39.758),
    "p_shift": (39.074, 39.758),
    "la": (40.136, 39.758),
    "laps": (40.136, 39.758),
    "laps_r333": (40.136, 39.758),
    "laps_r222": (40.136, 39.758),
    "laps_r111": (40.136, 39.758),
    "laps_l": (172.841, 40.032),
    "laps_h": (345.682, 40.032),
    "laps_e": (434.018, 40.162),
}


@pytest.mark.parametrize("variant", PUBLISHED)
def test_costs_equal_the_papers(variant: str) -> None:
    cost = measure(registry.build(variant))
    assert (cost.gmacs, cost.parameters_m) == pytest.approx(PUBLISHED[variant], rel=1e-5)


def test_measuring_leaves_the_mode_alone(small_model: Laps) -> None:
    measure(as_model(small_model.train()))
    assert small_model.training
    measure(as_model(small_model.eval()))
    assert not small_model.training
