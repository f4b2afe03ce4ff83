from __future__ import annotations

import pytest
import torch

from laps_export.errors import ConfigError
from laps_export.families.laps.visformer import Laps
from laps_export.families.random_weights import randomise
from support.small_laps import as_model, build_laps

ENTRIES = 205


def test_state_names_are_those_of_the_authors_checkpoints() -> None:
    with torch.device("meta"):
        state = build_laps("laps").state_dict()
    assert len(state) == ENTRIES
    shapes = {name: tuple(value.shape) for name, value in state.items()}
    assert shapes["pos_embed2"] == (1, 384, 14, 14)
    assert shapes["stem.1.bn.running_var"] == (32,)
    assert shapes["patch_embed1.norm.bn.num_batches_tracked"] == ()
    assert shapes["stage1.6.mlp.conv2.weight"] == (384, 48, 3, 3)
    assert shapes["stage2.0.attn.qkv.weight"] == (1152, 384, 1, 1)
    assert shapes["stage3.3.mlp.conv3.weight"] == (768, 3072, 1, 1)
    assert shapes["norm.bn.bias"] == (768,)
    assert shapes["head.weight"] == (400, 768)


def test_the_six_kinds_share_one_set_of_weights() -> None:
    kinds = ("base2d", "base3d", "plain_shift", "p_shift", "la", "laps")
    with torch.device("meta"):
        shapes = [{k: v.shape for k, v in build_laps(kind).state_dict().items()} for kind in kinds]
    assert all(shape == shapes[0] for shape in shapes)


def test_the_class_count_sizes_the_head(small_model: Laps) -> None:
    with torch.device("meta"):
        assert build_laps("laps_tiny", classes=3).head.weight.shape == (3, 384)
    with torch.inference_mode():
        assert small_model(torch.zeros(2, 8, 3, 64, 64)).shape == (2, 8, 7)


@pytest.mark.parametrize(
    "shape",
    [(1, 4, 3, 64, 64), (1, 8, 3, 32, 64), (1, 8, 64, 64, 3), (8, 3, 64, 64)],
    ids=["frames", "size", "layout", "no-batch"],
)
def test_clips_of_another_shape_are_refused(small_model: Laps, shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError) as caught:
        small_model(torch.zeros(shape))
    assert caught.value.code == "invalid_input"
    assert caught.value.hint == "this model takes [B, 8, 3, 64, 64]"


def test_training_reaches_every_weight(small_model: Laps) -> None:
    small_model.train()
    clips = torch.randn(2, 8, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    small_model(clips).square().mean().backward()
    idle = [n for n, p in small_model.named_parameters() if p.grad is None or not p.grad.abs().sum()]
    assert idle == []


@pytest.mark.parametrize(
    ("name", "knows"), [("base2d", False), ("base3d", False), ("la", False), ("p_shift", True), ("laps", True)]
)
def test_only_a_shift_knows_which_frame_comes_first(name: str, knows: bool) -> None:
    # docs/ablation.md stands on this: without a shift a clip and its reverse have the same clip logits.
    model = build_laps(f"{name}_nano", classes=10)
    randomise(as_model(model), seed=1)
    model.eval()
    clips = torch.randn(2, 8, 3, 128, 128)
    with torch.no_grad():
        forth, back = model(clips).mean(1), model(clips.flip(1)).mean(1)
    assert torch.allclose(forth, back, atol=1e-4) is not knows
