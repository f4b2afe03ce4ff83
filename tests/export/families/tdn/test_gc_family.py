"""What the exporter knows of GC-TDN where that is not as for TDN: its cost, the authors' files, its graph."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from laps_export.errors import CheckpointError
from laps_export.families.family import VideoModel
from laps_export.families.tdn.config import TdnConfig
from laps_export.families.tdn.family import TDN
from support.family_exports import cost_at, exported, loaded_equals, recipe_model, saved

SMALL = TdnConfig(segments=3, resolution=64, width=8, blocks=(1, 1, 1, 1), contextualised=True, classes=4)
CONV1_TEMP = {"base_model.conv1_temp.weight": torch.zeros(8, 3, 7, 7), "base_model.conv1_temp.bias": torch.zeros(8)}
NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


@pytest.fixture(scope="module")
def model() -> VideoModel:
    return recipe_model(TDN, SMALL)


def _unused(model: VideoModel) -> dict[str, Tensor]:
    """The layer and the norms that the authors' class has and never calls."""
    blocks = [found[1] for name in model.network.state_dict() if (found := re.match(r"(.*\.eft3)\.conv\.", name))]
    assert len(blocks) == 7
    return {**CONV1_TEMP, **{f"{block}.bn1.{name}": torch.ones(2) for block in blocks for name in NORM}}


def _published(model: VideoModel) -> dict[str, object]:
    state = {f"module.{name}": value for name, value in {**model.network.state_dict(), **_unused(model)}.items()}
    return {"epoch": 100, "arch": "resnet50", "state_dict": state, "optimizer": {}, "best_prec1": 70.0}


@pytest.mark.parametrize(("variant", "gmacs"), [("gc_tdn_r50_8", 47.795), ("gc_tdn_r50_16", 95.347)])
def test_its_cost_is_the_authors_classs(variant: str, gmacs: float) -> None:
    cost = cost_at(variant, resolution=256)
    # Enlarging and means are not counted here, nor is what nothing uses: a layer, and a norm a block.
    assert cost.gmacs == pytest.approx(gmacs, rel=0.001)
    norms = sum(blocks * 2 * width // 4 for blocks, width in ((3 + 3, 64), (4, 128), (6, 256), (3, 512)))
    assert cost.parameters_m == pytest.approx(26.160816 - (64 * 3 * 7 * 7 + 64 + norms) / 1e6, abs=1e-6)


def test_the_poster_adds_two_networks_up_at_224() -> None:
    pair = ("gc_tdn_r50_8", "gc_tdn_r50_16")
    costs = [cost_at(variant, resolution=224) for variant in pair]
    assert [cost.gmacs for cost in costs] == pytest.approx([36.59, 73.00], rel=0.001)
    for variant, cost in zip(pair, costs, strict=True):
        poster = TDN.variants[variant].poster
        assert poster is not None
        assert poster.gmacs_of == pair
        assert poster.gmacs == pytest.approx(sum(cost.gmacs for cost in costs), rel=0.01)
        assert poster.parameters_m == pytest.approx(cost.parameters_m, rel=0.05)


def test_the_authors_file_is_read_without_what_they_never_use(model: VideoModel, tmp_path: Path) -> None:
    read = loaded_equals(saved(tmp_path / "best.pth.tar", _published(model)), model)
    assert {name.removeprefix("module.") for name in read.dropped} == set(_unused(model))
    assert read.remarks == ("left out base_model.conv1_temp.weight (and 36 more), which the network does not use",)


def test_a_file_of_tdn_is_refused(model: VideoModel, tmp_path: Path) -> None:
    plain = recipe_model(TDN, replace(SMALL, contextualised=False))
    state = {f"module.{name}": value for name, value in {**plain.network.state_dict(), **CONV1_TEMP}.items()}
    with pytest.raises(CheckpointError) as caught:
        loaded_equals(saved(tmp_path / "tdn.pth.tar", {"state_dict": state}), model)
    assert caught.value.code == "missing_key"
    assert "eft1" in str(caught.value)


def test_its_graph_passes_the_gate(monkeypatch: pytest.MonkeyPatch, model: VideoModel, tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("one\ntwo\nthree\nfour\n")
    path = saved(tmp_path / "best.pth.tar", _published(model))
    manifest = exported(monkeypatch, model, path, tmp_path / "models", "--labels", str(labels))
    assert (manifest["opset"], manifest["precisions"]["float32"]["parity"]["batch_sizes"]) == (17, [1, 2])
    assert manifest["output"]["steps"] == [[0, 4], [5, 9], [10, 14]]
