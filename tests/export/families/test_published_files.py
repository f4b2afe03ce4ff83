"""Files of full size as authors publish them: names, prefix and key theirs, weights by recipe; read, and compared.

`make zoo` runs it. The families' own tests do the same with small networks, and with every other layout.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from laps_export.checkpoint.loading import load_weights
from laps_export.checkpoint.reading import read_checkpoint
from laps_export.families import registry
from support.zoo_goldens import LOGITS_TOLERANCE, draw, golden_input, zoo_golden

_KEYS = {"tdn": "state_dict", "video_swin": "state_dict"}
"""Of the saved dict, by family; PySlowFast's, which most authors began with, is `model_state`."""

_VARIANTS = (
    "timesformer",
    "video_swin_b",
    "mvit_b_16",
    "mvit_b_64",
    "vtn",
    "slowfast_8x8_r50",
    "slowfast_16x8_r101_nl",
    "x3d_l",
    "x3d_xl",
    "tdn_r50_8",
    "tdn_r50_16",
    "tdn_r101_8",
    "tdn_r101_16",
    "gc_tdn_r50_8",
    "gc_tdn_r50_16",
)


@pytest.mark.long
@pytest.mark.parametrize("variant", _VARIANTS)
def test_a_published_file_gives_the_authors_answer(variant: str, tmp_path: Path) -> None:
    golden, (family, row) = zoo_golden(variant), registry.find_variant(variant)
    state = {golden.prefix + name: draw(name, shape, golden.gains) for name, shape in golden.shapes.items()}
    torch.save({_KEYS.get(family.name, "model_state"): state, "epoch": 1}, tmp_path / "published.pth")
    del state
    model = registry.build(variant)
    load_weights(model, read_checkpoint(tmp_path / "published.pth", family=family))
    with torch.inference_mode():
        answer = model.network.eval()(golden_input(row.config.frames, row.config.resolution))
    logits = (answer[0] if isinstance(answer, tuple) else answer)[0].numpy()
    if "step_logits" in golden.arrays and logits.ndim == 2:
        assert np.abs(logits - golden.arrays["step_logits"]).max() <= LOGITS_TOLERANCE
    elif golden.arrays["logits"].ndim == 2:  # positions, whose probabilities are averaged
        np.testing.assert_allclose(np.exp(logits), golden.arrays["probabilities"], rtol=1e-3, atol=1e-7)
    else:
        assert np.abs(logits - golden.arrays["logits"]).max() <= LOGITS_TOLERANCE
