from __future__ import annotations

import torch

from laps_export.families.laps.visformer import Laps
from laps_export.families.random_weights import randomise
from support.small_laps import SMALL, as_model


def test_a_seed_decides_every_weight() -> None:
    models = [Laps(SMALL) for _ in range(3)]
    for model, seed in zip(models, (1, 1, 2), strict=True):
        randomise(as_model(model), seed=seed)
    first, again, other = (model.state_dict() for model in models)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["stem.0.weight"], other["stem.0.weight"])


def test_logits_are_large_enough_to_tell_graphs_apart() -> None:
    model = Laps(SMALL).eval()
    randomise(as_model(model), seed=0)
    with torch.inference_mode():
        logits = model(torch.randn(1, 8, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    assert 0.1 < logits.std() < 10
