"""The model family against what the authors' own code computed, variant by variant."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from laps_export.families.laps import variants
from support.golden_weights import golden_array, golden_input, golden_state_dict
from support.small_laps import build_laps

GOLDEN = Path(__file__).parents[3] / "data" / "frame_logits.npz"
TOLERANCE = 1e-4


def test_every_golden_array_has_its_variant() -> None:
    with np.load(GOLDEN) as golden:
        assert set(golden) == set(variants.PUBLISHED)


def test_the_recipe_draws_the_weights_it_is_known_for() -> None:
    stem = golden_array("stem.0.weight", (32, 3, 7, 7)).flatten()
    head = golden_array("head.weight", (400, 768)).flatten()
    np.testing.assert_allclose(stem[:2], [-0.10001108, 0.01342881], atol=1e-8)
    np.testing.assert_allclose(head[:2], [0.05623853, -0.04817869], atol=1e-8)


@pytest.mark.parametrize("variant", variants.PUBLISHED)
def test_frame_logits_equal_the_authors(variant: str) -> None:
    model = build_laps(variant).eval()
    model.load_state_dict(golden_state_dict(model))
    with torch.inference_mode():
        logits = model(golden_input(model.config.frames, model.config.resolution))[0].numpy()
    with np.load(GOLDEN) as golden:
        expected = golden[variant]
    assert logits.shape == expected.shape
    assert np.abs(logits - expected).max() <= TOLERANCE
