"""What the exporter knows of the family: costs, files in each layout, and how a server is told to serve it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from torch import Tensor

from laps_export.errors import CheckpointError
from laps_export.families import registry
from laps_export.families.family import VideoModel
from laps_export.families.mvit.config import MvitConfig
from laps_export.families.mvit.family import MVIT
from laps_export.graph.complexity import measure
from laps_export.repository.serving import Serving
from support.family_exports import exported, loaded_equals, recipe_model, saved

SMALL = MvitConfig(frames=4, resolution=64, head_dim=4, blocks=4, key_pools=4)
"""Both kinds of widening are there, and the pool of queries behind each."""

DEEP = MvitConfig(frames=4, resolution=64, head_dim=4, blocks=15, key_pools=15)
"""Up to the first block that pools keys and values with a stride of 1."""


@pytest.fixture(scope="module")
def model() -> VideoModel:
    return recipe_model(MVIT, SMALL)


@pytest.mark.parametrize(
    ("variant", "gmacs", "parameters_m"), [("mvit_b_16", 70.804, 36.611), ("mvit_b_64", 455.879, 36.613)]
)
def test_its_cost_is_the_authors_classs(variant: str, gmacs: float, parameters_m: float) -> None:
    cost = measure(registry.build(variant))
    assert cost.gmacs == pytest.approx(gmacs, abs=0.001)
    assert cost.parameters_m == pytest.approx(parameters_m, abs=0.001)
    poster = MVIT.variants[variant].poster
    assert poster is None or cost.gmacs == pytest.approx(poster.gmacs, rel=0.005)


def test_the_authors_file_is_read(model: VideoModel, tmp_path: Path) -> None:
    content = {"epoch": 200, "model_state": model.network.state_dict(), "optimizer_state": {}, "cfg": "TRAIN:\n"}
    read = loaded_equals(saved(tmp_path / "k400.pyth", content), model)
    assert (read.remarks, read.epoch) == ((), 200)


def test_a_file_of_pytorchvideo_is_read(model: VideoModel, tmp_path: Path) -> None:
    state: dict[str, Tensor] = {}
    for name, value in model.network.state_dict().items():
        if ".attn.qkv." in name:
            parts = zip("qkv", value.chunk(3), strict=True)
            state.update({name.replace("qkv", part): rows.clone() for part, rows in parts})
        else:
            state[_in_pytorchvideo(name)] = value
    assert {"blocks.3.attn.k.bias", "cls_positional_encoding.pos_embed_temporal", "head.proj.weight"} <= set(state)
    loaded_equals(saved(tmp_path / "MVIT_B_16x4.pyth", {"model_state": state}), model)


def test_a_file_of_torchvision_is_read(model: VideoModel, tmp_path: Path) -> None:
    state = {_in_torchvision(name): value for name, value in model.network.state_dict().items()}
    for name in list(state):
        if name.startswith("pos_encoding."):  # no leading axes of length 1 there
            state[name] = state[name][0, 0] if "class" in name else state[name][0]
    assert {"blocks.2.project.bias", "blocks.1.attn.pool_q.norm_act.0.bias", "head.1.weight"} <= set(state)
    assert state["pos_encoding.class_token"].dim() == 1
    loaded_equals(saved(tmp_path / "mvit_v1_b.pth", state), model)


def test_a_file_without_the_last_pools_has_a_variant_of_its_own(tmp_path: Path) -> None:
    old = recipe_model(MVIT, replace(DEEP, key_pools=14))
    path = saved(tmp_path / "old.pyth", {"model_state": old.network.state_dict()})
    assert not any("blocks.14.attn.pool_k" in name for name in old.network.state_dict())
    loaded_equals(path, old)
    with pytest.raises(CheckpointError) as caught:
        loaded_equals(path, recipe_model(MVIT, DEEP))
    assert caught.value.code == "missing_key"
    assert "blocks.14.attn.pool_k.weight" in caught.value.message
    assert MVIT.variants["mvit_b_16_old"].config.key_pools == 14


def test_a_file_of_more_blocks_is_refused(model: VideoModel, tmp_path: Path) -> None:
    state = dict(model.network.state_dict())
    state.update({name.replace("blocks.2.", "blocks.4."): state[name] for name in list(state)})
    with pytest.raises(CheckpointError) as caught:
        loaded_equals(saved(tmp_path / "MVIT_B_32x3_f294077834.pyth", {"model_state": state}), model)
    assert caught.value.code == "unexpected_key"


def test_its_entry_says_how_it_is_served(monkeypatch: pytest.MonkeyPatch, model: VideoModel, tmp_path: Path) -> None:
    path = saved(tmp_path / "k400.pyth", {"model_state": model.network.state_dict()})
    # So that queries are cut into slices, as those of 64 frames are.
    monkeypatch.setattr("laps_export.families.mvit.attention._MAX_SCORES", 4000)
    manifest = exported(monkeypatch, model, path, tmp_path / "models")
    assert (manifest["family"], manifest["labels"]["name"]) == ("mvit", "kinetics400-alphabetical")
    assert (manifest["opset"], manifest["precisions"]["float32"]["parity"]["batch_sizes"]) == (17, [1, 2])
    assert manifest["output"] == {"name": "frame_logits", "kind": "per_clip"}
    assert (manifest["sampling"], manifest["inputs"][0]["stride"], manifest["default_views"]) == (
        "slowfast_offset",
        3,
        "3x3",
    )
    assert manifest["average"] == "probabilities"
    assert manifest["preprocess"]["mean"] == [0.45] * 3
    assert manifest["preprocess"]["std"] == [0.225] * 3


@pytest.mark.parametrize(
    ("variant", "stride"), [("mvit_b_16", 4), ("mvit_b_16_old", 4), ("mvit_b_32", 3), ("mvit_b_64", 3)]
)
def test_the_stride_is_the_variants_own(variant: str, stride: int) -> None:
    serving = Serving.of(MVIT, variant=variant)
    assert (serving.stride, serving.sampling, serving.default_views) == (stride, "slowfast_offset", "3x3")


def _in_pytorchvideo(name: str) -> str:
    if name == "cls_token" or name.startswith("pos_embed"):
        return f"cls_positional_encoding.{name}"
    name = name.replace("head.projection", "head.proj").replace("patch_embed.proj", "patch_embed.patch_model")
    return re.sub(r"^norm\.", "norm_embed.", name)


def _in_torchvision(name: str) -> str:
    name = name.replace("patch_embed.proj", "conv_proj").replace("head.projection", "head.1")
    name = name.replace("mlp.fc1", "mlp.0").replace("mlp.fc2", "mlp.3")
    name = re.sub(r"^cls_token$", "pos_encoding.class_token", name)
    name = re.sub(r"^pos_embed_(\w+)$", r"pos_encoding.\1_pos", name)
    name = re.sub(r"^(blocks\.\d+)\.proj\.", r"\1.project.", name)
    name = re.sub(r"\.attn\.proj\.", ".attn.project.0.", name)
    return re.sub(r"\.attn\.(pool|norm)_([qkv])\.", lambda m: f".attn.pool_{m[2]}.{INSIDE[m[1]]}.", name)


INSIDE = {"pool": "pool", "norm": "norm_act.0"}
