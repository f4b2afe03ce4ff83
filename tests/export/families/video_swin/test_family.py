"""What the exporter knows of the family: costs, files in each layout, and how a server is told to serve it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from laps_export.families import registry
from laps_export.families.family import VideoModel
from laps_export.families.video_swin.config import VideoSwinConfig
from laps_export.families.video_swin.family import VIDEO_SWIN
from laps_export.graph.complexity import measure
from support.family_exports import exported, loaded_equals, recipe_model, saved

SMALL = VideoSwinConfig(frames=32, resolution=112, dim=12, depths=(2, 2), heads=(2, 3))
"""Both stages shift their windows, the second in time and in both directions of space too."""

INDEX = torch.zeros(392, 392, dtype=torch.int64)
"""Stands for the table of distances that such files have for every block."""


@pytest.fixture(scope="module")
def model() -> VideoModel:
    return recipe_model(VIDEO_SWIN, SMALL)


def test_its_cost_is_the_papers() -> None:
    cost = measure(registry.build("video_swin_b"))
    assert cost.gmacs == pytest.approx(281.6, rel=0.005)
    # The authors' head looks at the mean over 16 steps, ours at each of them.
    assert cost.gmacs == pytest.approx(281.923 + 15 * 1024 * 400 / 1e9, abs=0.001)
    assert cost.parameters_m == pytest.approx(88.049, abs=0.001)


def test_the_authors_file_is_read_without_the_tables_that_follow_from_the_window(
    model: VideoModel, tmp_path: Path
) -> None:
    state = dict(model.network.state_dict())
    tables = {
        re.sub("bias_table$", "index", name): INDEX for name in state if name.endswith("relative_position_bias_table")
    }
    content = {"meta": {"epoch": 30, "mmcv_version": "1.2.7"}, "state_dict": {**state, **tables}}
    read = loaded_equals(saved(tmp_path / "swin.pth", content), model)
    assert set(read.dropped) == set(tables)
    assert ["relative_position_index" in remark for remark in read.remarks] == [True]


def test_a_file_of_torchvision_is_read(model: VideoModel, tmp_path: Path) -> None:
    state = {_in_torchvision(name): value for name, value in model.network.state_dict().items()}
    assert {"features.2.1.mlp.3.bias", "features.1.reduction.weight", "head.weight", "norm.bias"} <= set(state)
    state["features.0.0.attn.relative_position_index"] = INDEX.flatten()
    read = loaded_equals(saved(tmp_path / "swin3d.pth", state), model)
    assert read.dropped == ("features.0.0.attn.relative_position_index",)


def test_its_entry_says_how_it_is_served(monkeypatch: pytest.MonkeyPatch, model: VideoModel, tmp_path: Path) -> None:
    path = saved(tmp_path / "swin.pth", {"state_dict": dict(model.network.state_dict())})
    manifest = exported(monkeypatch, model, path, tmp_path / "models")
    assert (manifest["family"], manifest["labels"]["name"]) == ("video_swin", "kinetics400-alphabetical")
    assert (manifest["opset"], manifest["precisions"]["float32"]["parity"]["batch_sizes"]) == (17, [1, 2])
    assert manifest["output"] == {
        "name": "frame_logits",
        "kind": "per_step",
        "steps": [[first, first + 1] for first in range(0, 32, 2)],
    }
    assert (manifest["sampling"], manifest["inputs"][0]["stride"], manifest["default_views"]) == (
        "strided_centre",
        2,
        "4x3",
    )
    assert manifest["average"] == "probabilities"
    assert manifest["preprocess"] == {
        "short_side": 112,
        "crop_height": 112,
        "crop_width": 112,
        "interpolation": "bilinear",
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "long_side": "round",
        "crop_order": "ends_first",
        "crop_offset": "down",
    }


def _in_torchvision(name: str) -> str:
    name = name.removeprefix("backbone.").replace("cls_head.fc_cls", "head")
    name = name.replace("mlp.fc1", "mlp.0").replace("mlp.fc2", "mlp.3")
    name = re.sub(r"^layers\.(\d)\.blocks", lambda match: f"features.{2 * int(match[1])}", name)
    return re.sub(r"^layers\.(\d)\.downsample", lambda match: f"features.{2 * int(match[1]) + 1}", name)
