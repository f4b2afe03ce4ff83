"""What the exporter knows of the family: costs, files in each layout, and how a server is told to serve it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from laps_export.checkpoint.reading import read_checkpoint
from laps_export.errors import CheckpointError, ConfigError
from laps_export.families import registry
from laps_export.families.family import VideoModel
from laps_export.families.x3d.config import X3DConfig
from laps_export.families.x3d.family import X3D_FAMILY
from laps_export.graph.complexity import measure
from support.family_exports import exported, loaded_equals, recipe_model, saved

SMALL = X3DConfig(
    frames=4,
    resolution=90,
    trained_at=64,
    stem=4,
    blocks=(2, 3, 1, 1),
    outer=(4, 8, 12, 16),
    inner=(6, 10, 16, 24),
    squeezed=(2, 2, 4, 4),
    head=20,
)
"""Blocks with and without squeeze and excitation, and four positions at the head."""


@pytest.fixture(scope="module")
def model() -> VideoModel:
    return recipe_model(X3D_FAMILY, SMALL)


@pytest.fixture(scope="module")
def other_librarys() -> VideoModel:
    return recipe_model(X3D_FAMILY, replace(SMALL, first_norm=False))


@pytest.mark.parametrize(
    ("variant", "gmacs", "parameters_m"), [("x3d_l", 25.52758, 6.153432), ("x3d_xl", 49.48583, 11.095904)]
)
def test_its_cost_is_the_authors_classs(variant: str, gmacs: float, parameters_m: float) -> None:
    with torch.device("meta"):
        cost = measure(registry.build(variant))
    assert cost.gmacs == pytest.approx(gmacs, abs=0.00001)
    assert cost.parameters_m == pytest.approx(parameters_m, abs=0.000001)
    poster = X3D_FAMILY.variants[variant].poster
    assert poster is not None
    assert cost.gmacs == pytest.approx(poster.gmacs, rel=0.03)
    assert cost.parameters_m == pytest.approx(poster.parameters_m, rel=0.01)


def test_the_authors_file_is_read(model: VideoModel, tmp_path: Path) -> None:
    content = {"epoch": 300, "model_state": model.network.state_dict(), "optimizer_state": {}, "cfg": "TRAIN:\n"}
    path = saved(tmp_path / "x3d_l.pyth", content)
    read = loaded_equals(path, model)
    assert (read.remarks, read.epoch) == ((), 300)
    assert read_checkpoint(path).family is X3D_FAMILY, "and not the family whose names are much alike"


def test_a_file_of_pytorchvideo_is_read(other_librarys: VideoModel, tmp_path: Path) -> None:
    state = _state_in_pytorchvideo(other_librarys)
    assert {
        "blocks.0.conv.conv_t.weight",
        "blocks.1.res_blocks.0.branch1_conv.weight",
        "blocks.2.res_blocks.0.branch1_norm.weight",
        "blocks.2.res_blocks.1.branch2.norm_b.0.running_mean",
        "blocks.2.res_blocks.2.branch2.norm_b.1.block.2.bias",
        "blocks.5.pool.post_conv.weight",
        "blocks.5.proj.bias",
    } <= set(state)
    assert state["blocks.0.conv.conv_t.weight"].shape[2:] == (1, 3, 3), "of space, whatever it is called"
    path = saved(tmp_path / "X3D_L.pyth", {"model_state": state})
    loaded_equals(path, other_librarys)


def test_the_other_librarys_network_is_refused_as_the_authors(
    model: VideoModel, other_librarys: VideoModel, tmp_path: Path
) -> None:
    path = saved(tmp_path / "X3D_L.pyth", {"model_state": _state_in_pytorchvideo(other_librarys)})
    with pytest.raises(CheckpointError, match=r"lacks s2\.pathway0_res0\.branch1_bn\.weight \(and 4 more\)") as caught:
        loaded_equals(path, model)
    assert caught.value.code == "missing_key"
    path = saved(tmp_path / "x3d_l.pyth", {"model_state": model.network.state_dict()})
    with pytest.raises(CheckpointError, match=r"s2\.pathway0_res0\.branch1_bn\.weight") as caught:
        loaded_equals(path, other_librarys)
    assert caught.value.code == "unexpected_key"


def test_the_other_librarys_variant_has_no_norm_in_one_shortcut() -> None:
    ours, theirs = (X3D_FAMILY.variants[name].config for name in ("x3d_l", "x3d_l_pytorchvideo"))
    assert theirs == replace(ours, first_norm=False)
    with torch.device("meta"):
        assert len(registry.build("x3d_l_pytorchvideo").network.state_dict()) == 1141


def test_its_entry_says_how_it_is_served(monkeypatch: pytest.MonkeyPatch, model: VideoModel, tmp_path: Path) -> None:
    path = saved(tmp_path / "k400.pyth", {"model_state": model.network.state_dict()})
    manifest = exported(monkeypatch, model, path, tmp_path / "models")
    assert (manifest["family"], manifest["labels"]["name"]) == ("x3d", "kinetics400-alphabetical")
    assert (manifest["opset"], manifest["precisions"]["float32"]["parity"]["batch_sizes"]) == (17, [1, 2])
    assert manifest["output"] == {"name": "frame_logits", "kind": "per_clip"}
    assert (manifest["sampling"], manifest["inputs"][0]["stride"], manifest["default_views"]) == (
        "slowfast_uniform",
        5,
        "10x3",
    )
    assert manifest["average"] == "probabilities"
    assert manifest["preprocess"]["mean"] == [0.45] * 3
    assert manifest["preprocess"]["std"] == [0.225] * 3
    assert manifest["preprocess"]["short_side"] == SMALL.resolution


@pytest.mark.parametrize(
    ("numbers", "code"),
    [
        ({"frames": 0}, "invalid_frames"),
        ({"trained_at": 357}, "invalid_trained_at"),
        ({"blocks": (5, 10, 25)}, "invalid_blocks"),
        ({"outer": (24, 48, 96)}, "invalid_outer"),
        ({"inner": (54,)}, "invalid_inner"),
        ({"squeezed": (8, 8, 16, 0)}, "invalid_squeezed"),
    ],
)
def test_numbers_that_cannot_be(numbers: dict[str, Any], code: str) -> None:
    with pytest.raises(ConfigError) as caught:
        X3DConfig(**numbers)
    assert caught.value.code == code


def _state_in_pytorchvideo(model: VideoModel) -> dict[str, Tensor]:
    return {_in_pytorchvideo(name): value for name, value in model.network.state_dict().items()}


STEM = {"conv_xy": "conv.conv_t", "conv": "conv.conv_xy", "bn": "norm"}
HEAD = {"conv_5": "pool.pre_conv", "conv_5_bn": "pool.pre_norm", "lin_5": "pool.post_conv", "projection": "proj"}
BRANCH = {
    **{letter: f"conv_{letter}" for letter in "abc"},
    **{"a_bn": "norm_a", "b_bn": "norm_b.0", "c_bn": "norm_c"},
    **{"se.fc1": "norm_b.1.block.0", "se.fc2": "norm_b.1.block.2"},
}


def _in_pytorchvideo(name: str) -> str:
    path, _, last = name.rpartition(".")
    if part := re.fullmatch(r"s1\.pathway0_stem\.(\w+)", path):
        return f"blocks.0.{STEM[part[1]]}.{last}"
    if part := re.fullmatch(r"s(\d)\.pathway0_res(\d+)\.branch1(_bn)?", path):
        return f"blocks.{int(part[1]) - 1}.res_blocks.{part[2]}.branch1_{'norm' if part[3] else 'conv'}.{last}"
    if part := re.fullmatch(r"s(\d)\.pathway0_res(\d+)\.branch2\.(.+)", path):
        return f"blocks.{int(part[1]) - 1}.res_blocks.{part[2]}.branch2.{BRANCH[part[3]]}.{last}"
    return f"blocks.5.{HEAD[path.removeprefix('head.')]}.{last}"
