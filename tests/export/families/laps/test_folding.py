from __future__ import annotations

import torch
from torch import nn

from laps_export.families.laps.folding import fold_batch_norm
from laps_export.families.laps.visformer import Laps


def test_folding_changes_no_logit_and_leaves_no_norm(small_model: Laps) -> None:
    folded = fold_batch_norm(small_model)
    clips = torch.randn(2, 8, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(folded(clips), small_model(clips), atol=1e-5, rtol=0)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())


def test_the_original_stays_as_it_was(small_model: Laps) -> None:
    before = {name: value.clone() for name, value in small_model.state_dict().items()}
    fold_batch_norm(small_model.train())
    assert small_model.training
    after = small_model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)
