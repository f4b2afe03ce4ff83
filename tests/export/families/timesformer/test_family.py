"""What the exporter knows of the family: costs, files in each layout, and how a server is told to serve it."""

from __future__ import annotations

from pathlib import Path

import pytest

from laps_export.checkpoint.reading import read_checkpoint
from laps_export.errors import CheckpointError
from laps_export.families import registry
from laps_export.families.family import VideoModel
from laps_export.families.timesformer.config import TimesformerConfig
from laps_export.families.timesformer.family import TIMESFORMER
from laps_export.graph.complexity import measure
from support.family_exports import exported, loaded_equals, recipe_model, saved

SMALL = TimesformerConfig(frames=3, resolution=32, dim=24, depth=2, heads=3)

TRANSFORMERS = {
    "cls_token": "timesformer.embeddings.cls_token",
    "pos_embed": "timesformer.embeddings.position_embeddings",
    "time_embed": "timesformer.embeddings.time_embeddings",
    "patch_embed.proj": "timesformer.embeddings.patch_embeddings.projection",
    "blocks": "timesformer.encoder.layer",
    "temporal_norm1": "temporal_layernorm",
    "temporal_attn.qkv": "temporal_attention.attention.qkv",
    "temporal_attn.proj": "temporal_attention.output.dense",
    "temporal_fc": "temporal_dense",
    "norm1": "layernorm_before",
    "attn.qkv": "attention.attention.qkv",
    "attn.proj": "attention.output.dense",
    "norm2": "layernorm_after",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
    "norm": "timesformer.layernorm",
    "head": "classifier",
}


@pytest.fixture(scope="module")
def model() -> VideoModel:
    return recipe_model(TIMESFORMER, SMALL)


def test_its_cost_is_the_papers_sum_of_three_views_by_three() -> None:
    cost = measure(registry.build("timesformer"))
    assert cost.gmacs == pytest.approx(590 / 3, rel=0.01)
    assert cost.gmacs == pytest.approx(196.053, abs=0.001)
    assert cost.parameters_m == pytest.approx(121.566, abs=0.001)


def test_the_authors_file_is_read(model: VideoModel, tmp_path: Path) -> None:
    state = {f"model.{name}": value for name, value in model.network.state_dict().items()}
    path = saved(tmp_path / "k400.pyth", {"epoch": 14, "model_state": state, "optimizer_state": {}, "cfg": "TRAIN:\n"})
    read = loaded_equals(path, model)
    assert (read.remarks, read.epoch) == ((), 14)


def test_a_file_of_transformers_is_read(model: VideoModel, tmp_path: Path) -> None:
    state = {_in_transformers(name): value for name, value in model.network.state_dict().items()}
    assert "timesformer.encoder.layer.1.temporal_attention.output.dense.bias" in state
    loaded_equals(saved(tmp_path / "pytorch_model.bin", state), model)


def test_a_name_that_no_layout_has_is_refused(model: VideoModel, tmp_path: Path) -> None:
    state = {_in_transformers(name): value for name, value in model.network.state_dict().items()}
    state["timesformer.encoder.layer.1.gate.weight"] = state["classifier.weight"]
    path = saved(tmp_path / "pytorch_model.bin", state)
    assert "timesformer.encoder.layer.1.gate.weight" in read_checkpoint(path, family=TIMESFORMER).state
    with pytest.raises(CheckpointError) as caught:
        loaded_equals(path, model)
    assert caught.value.code == "unexpected_key"


def test_its_entry_says_how_it_is_served(monkeypatch: pytest.MonkeyPatch, model: VideoModel, tmp_path: Path) -> None:
    state = {f"model.{name}": value for name, value in model.network.state_dict().items()}
    manifest = exported(monkeypatch, model, saved(tmp_path / "k400.pyth", {"model_state": state}), tmp_path / "models")
    assert (manifest["family"], manifest["labels"]["name"]) == ("timesformer", "kinetics400-alphabetical")
    assert (manifest["opset"], manifest["precisions"]["float32"]["parity"]["batch_sizes"]) == (17, [1, 2])
    assert manifest["output"] == {"name": "frame_logits", "kind": "per_clip"}
    assert (manifest["sampling"], manifest["inputs"][0]["stride"], manifest["default_views"]) == (
        "slowfast_uniform",
        32,
        "1x3",
    )
    assert "average" not in manifest, "logits, as nothing says otherwise"
    assert manifest["preprocess"] == {
        "short_side": 32,
        "crop_height": 32,
        "crop_width": 32,
        "interpolation": "bilinear",
        "mean": [0.45] * 3,
        "std": [0.225] * 3,
    }


def _in_transformers(name: str) -> str:
    if name.startswith("blocks."):
        _, block, part = name.split(".", 2)
        stem, _, kind = part.rpartition(".")
        return f"{TRANSFORMERS['blocks']}.{block}.{TRANSFORMERS[stem]}.{kind}"
    if name in TRANSFORMERS:
        return TRANSFORMERS[name]
    stem, _, kind = name.rpartition(".")
    return f"{TRANSFORMERS[stem]}.{kind}"
