"""What the structured start promises: coarse waves, and products that tell a shift."""

from __future__ import annotations

import pytest
import torch

from laps_export import registry
from laps_export.initialise import initialise
from laps_export.layers import AttentionBlock, Mlp
from laps_export.tokens import wave_order, wave_slopes


def test_waves_come_coarse_first_and_all_once() -> None:
    order = wave_order()
    assert order[:2] == [(0, 1), (1, 0)]
    assert len(set(order)) == 16


def test_slopes_join_even_waves_to_odd_ones_only() -> None:
    slopes = wave_slopes()
    assert slopes.shape == (4, 4)
    # Both signs of a wave's neighbour occur, or left could not be told from right.
    assert abs(float(slopes[1, 3])) < 0.01 < abs(float(slopes[1, 2]))
    assert float(slopes[1, 2]) * float(slopes[2, 1]) < 0


def test_the_stem_holds_every_picture_in_both_signs() -> None:
    model = registry.build("laps_nano", classes=10)
    initialise(model, seed=0)
    stem = next(module for module in model.modules() if isinstance(module, torch.nn.Conv2d))
    plus, minus = stem.weight[0].flatten(), stem.weight[1].flatten()
    assert torch.nn.functional.cosine_similarity(plus, minus, dim=0) < -0.8


@pytest.mark.parametrize("name", ["laps_nano", "p_shift_nano"])
def test_products_exist_where_there_is_a_shift(name: str) -> None:
    plain, waves = registry.build(name, classes=10), registry.build(name, classes=10)
    initialise(plain, seed=0, waves=False)
    initialise(waves, seed=0)
    rows = _first_mlp(waves).conv1.weight[:4, :, 0, 0]
    assert int((rows != 0).sum()) == 4 * 3
    assert int((_first_mlp(plain).conv1.weight[:4, :, 0, 0] != 0).sum()) == 4 * 96


def _first_mlp(model: torch.nn.Module) -> Mlp:
    return next(module for module in model.modules() if isinstance(module, AttentionBlock)).mlp
