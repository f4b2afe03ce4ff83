"""What the exporter knows of the family: costs, files in each layout, and how a server is told to serve it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from laps_export.checkpoint.reading import read_checkpoint
from laps_export.errors import CheckpointError, ConfigError
from laps_export.families import registry
from laps_export.families.family import VideoModel
from laps_export.families.slowfast.config import SlowFastConfig
from laps_export.families.slowfast.family import SLOWFAST
from laps_export.graph.complexity import measure
from support.family_exports import exported, loaded_equals, recipe_model, saved
from support.python2_pickle import python2_pickle

SMALL = SlowFastConfig(
    frames=8, resolution=96, trained_at=64, width=8, blocks=(1, 1, 7, 1), fusion_kernel=5, non_local=True
)
"""One non-local block, and four positions at the head."""


@pytest.fixture(scope="module")
def model() -> VideoModel:
    return recipe_model(SLOWFAST, SMALL)


@pytest.mark.parametrize(
    ("variant", "gmacs", "parameters_m", "tolerance"),
    [("slowfast_8x8_r50", 66.07, 34.566, 0.01), ("slowfast_16x8_r101_nl", 243.08, 60.080, 0.04)],
)
def test_its_cost_is_the_authors_classs(variant: str, gmacs: float, parameters_m: float, tolerance: float) -> None:
    with torch.device("meta"):
        cost = measure(registry.build(variant))
    assert cost.gmacs == pytest.approx(gmacs, abs=0.01)
    assert cost.parameters_m == pytest.approx(parameters_m, abs=0.001)
    poster = SLOWFAST.variants[variant].poster
    assert poster is not None
    assert cost.gmacs == pytest.approx(poster.gmacs, rel=tolerance)


def test_the_authors_file_is_read(model: VideoModel, tmp_path: Path) -> None:
    content = {"epoch": 196, "model_state": model.network.state_dict(), "optimizer_state": {}, "cfg": "TRAIN:\n"}
    read = loaded_equals(saved(tmp_path / "k400.pyth", content), model)
    assert (read.remarks, read.epoch) == ((), 196)


def test_a_file_of_pytorchvideo_is_read(tmp_path: Path) -> None:
    model = recipe_model(SLOWFAST, SlowFastConfig(frames=8, resolution=64, trained_at=64, width=8))
    state = {_in_pytorchvideo(name): value for name, value in model.network.state_dict().items()}
    assert {
        "blocks.0.multipathway_blocks.1.norm.weight",
        "blocks.3.multipathway_fusion.conv_fast_to_slow.weight",
        "blocks.4.multipathway_blocks.0.res_blocks.2.branch2.norm_c.running_var",
        "blocks.1.multipathway_blocks.1.res_blocks.0.branch1_norm.bias",
        "blocks.6.proj.bias",
    } <= set(state)
    loaded_equals(saved(tmp_path / "SLOWFAST_8x8_R50.pyth", {"model_state": state}), model)


def test_a_file_of_caffe2_is_read(model: VideoModel, tmp_path: Path) -> None:
    blobs = _caffe2_blobs(model)
    assert {
        "t_res_conv1_bn_rm",
        "t_pool1_subsample_bn_riv",
        "res2_0_branch1_bn_s",
        "t_res4_6_branch2c_bn_subsample_w",
        "nonlocal_conv4_6_theta_b",
        "pred_w",
    } <= set(blobs)
    blobs["nonlocal_conv4_6_g_w"] = blobs["nonlocal_conv4_6_g_w"][..., 0, 0, 0]
    training = {
        "conv1_w_momentum": blobs["conv1_w"],
        "lr": np.array([0.1], np.float32),
        "model_iter": np.array([195000], np.int64),
    }
    path = tmp_path / "SLOWFAST_8x8_R50.pkl"
    path.write_bytes(python2_pickle({"blobs": {**blobs, **training}}))
    read = loaded_equals(path, model)
    assert read.dropped == tuple(training)
    assert read.remarks[0] == "left out conv1_w_momentum (and 2 more), which the network does not use"
    assert read_checkpoint(path).family is SLOWFAST


def test_a_file_of_caffe2_that_would_run_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "k400.pkl"
    path.write_bytes(b"\x80\x02}U\x05blobscos\nsystem\nU\x04true\x85Rs.")
    with pytest.raises(CheckpointError, match=r"it names os\.system") as caught:
        read_checkpoint(path, family=SLOWFAST)
    assert caught.value.code == "checkpoint_refused"


def test_its_entry_says_how_it_is_served(monkeypatch: pytest.MonkeyPatch, model: VideoModel, tmp_path: Path) -> None:
    path = saved(tmp_path / "k400.pyth", {"model_state": model.network.state_dict()})
    manifest = exported(monkeypatch, model, path, tmp_path / "models")
    assert (manifest["family"], manifest["labels"]["name"]) == ("slowfast", "kinetics400-alphabetical")
    assert (manifest["opset"], manifest["precisions"]["float32"]["parity"]["batch_sizes"]) == (17, [1, 2])
    assert manifest["output"]["kind"] == "per_clip"
    assert (manifest["sampling"], manifest["inputs"][0]["stride"], manifest["default_views"]) == (
        "slowfast_uniform",
        2,
        "10x3",
    )
    assert manifest["average"] == "probabilities"
    assert manifest["preprocess"]["mean"] == [0.45] * 3


def test_the_slow_pathways_frames_are_the_authors() -> None:
    assert SlowFastConfig(frames=32).slow_frames == (0, 4, 8, 13, 17, 22, 26, 31)
    assert SlowFastConfig(frames=64).slow_frames == (0, 4, 8, 12, 16, 21, 25, 29, 33, 37, 42, 46, 50, 54, 58, 63)


@pytest.mark.parametrize(
    ("numbers", "code"),
    [
        ({"frames": 30}, "invalid_frames"),
        ({"resolution": 250}, "invalid_resolution"),
        ({"trained_at": 288}, "invalid_trained_at"),
        ({"width": 12}, "invalid_width"),
        ({"blocks": (3, 4, 6)}, "invalid_blocks"),
        ({"fusion_kernel": 6}, "invalid_fusion_kernel"),
    ],
)
def test_numbers_that_cannot_be(numbers: dict[str, Any], code: str) -> None:
    with pytest.raises(ConfigError) as caught:
        SlowFastConfig(**numbers)
    assert caught.value.code == code


def _in_pytorchvideo(name: str) -> str:
    if fused := re.fullmatch(r"s(\d)_fuse\.(conv_f2s|bn)\.(.+)", name):
        part = {"conv_f2s": "conv_fast_to_slow", "bn": "norm"}[fused[2]]
        return f"blocks.{int(fused[1]) - 1}.multipathway_fusion.{part}.{fused[3]}"
    if stem := re.fullmatch(r"s1\.pathway(\d)_stem\.(conv|bn)\.(.+)", name):
        return f"blocks.0.multipathway_blocks.{stem[1]}.{stem[2].replace('bn', 'norm')}.{stem[3]}"
    if block := re.fullmatch(r"s(\d)\.pathway(\d)_res(\d+)\.(.+)", name):
        last = re.sub(r"^branch2\.([abc])_bn\.", r"branch2.norm_\1.", block[4])
        last = re.sub(r"^branch2\.([abc])\.", r"branch2.conv_\1.", last)
        last = last.replace("branch1_bn.", "branch1_norm.").replace("branch1.", "branch1_conv.")
        return f"blocks.{int(block[1]) - 1}.multipathway_blocks.{block[2]}.res_blocks.{block[3]}.{last}"
    return name.replace("head.projection", "blocks.6.proj")


BATCH_NORM = {"weight": "s", "bias": "b", "running_mean": "rm", "running_var": "riv"}


def _caffe2_blobs(model: VideoModel) -> dict[str, npt.NDArray[Any]]:
    """A network's weights as Caffe2 named them; it did not count batches."""
    state = {name: value.numpy() for name, value in model.network.state_dict().items() if "num_batches" not in name}
    last_blocks = {i: model.config.to_json()["blocks"][i - 2] - 1 for i in (2, 3, 4)}
    return {_in_caffe2(name, last_blocks): value for name, value in state.items()}


def _in_caffe2(name: str, last_blocks: dict[int, int]) -> str:
    path, _, last = name.rpartition(".")
    module = re.sub(r"pathway1_(stem|res)", r"t_pathway0_\1", path)
    begin = "t_" if "t_pathway0" in module else ""
    if part := re.fullmatch(r"s1\..*_stem\.(conv|bn)", module):
        theirs = f"{begin}conv1" if part[1] == "conv" else f"{begin}res_conv1"
    elif part := re.fullmatch(r"s(\d)_fuse\.(conv_f2s|bn)", module):
        stage = int(part[1])
        behind = "pool1" if stage == 1 else f"res{stage}_{last_blocks[stage]}_branch2c_bn"
        theirs = f"t_{behind}_subsample"
    elif part := re.fullmatch(r"s(\d)\..*_nonlocal(\d+)\.(?:conv_)?(\w+)", module):
        theirs = f"nonlocal_conv{part[1]}_{part[2]}" + ("" if part[3] == "bn" else f"_{part[3]}")
    elif part := re.fullmatch(r"s(\d)\..*_res(\d+)\.(branch1|branch2\.[abc])(?:_bn)?", module):
        theirs = f"{begin}res{part[1]}_{part[2]}_{part[3].replace('.', '')}"
    else:
        theirs = "pred"
    if re.search(r"(?:\.|_)bn$", path):
        return f"{theirs}_bn_{BATCH_NORM[last]}"
    return f"{theirs}_{last[0]}"
