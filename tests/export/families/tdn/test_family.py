"""What the exporter knows of the family: costs, the authors' files, and how a server is told to serve it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from laps_export.errors import CheckpointError
from laps_export.families.family import VideoModel
from laps_export.families.tdn.config import TdnConfig
from laps_export.families.tdn.family import TDN
from support.family_exports import cost_at, exported, loaded_equals, recipe_model, run_export, saved

SMALL = TdnConfig(segments=3, resolution=96, width=8, blocks=(1, 2, 1, 2), classes=4)
"""The last stage has three rows and columns, which do not halve; blocks with and without a shortcut of their own."""

UNUSED = {"base_model.conv1_temp.weight": torch.zeros(8, 3, 7, 7), "base_model.conv1_temp.bias": torch.zeros(8)}


@pytest.fixture(scope="module")
def model() -> VideoModel:
    return recipe_model(TDN, SMALL)


def _published(model: VideoModel) -> dict[str, object]:
    state = {f"module.{name}": value for name, value in {**model.network.state_dict(), **UNUSED}.items()}
    return {"epoch": 100, "arch": "resnet50", "state_dict": state, "optimizer": {}, "prec1": 70.0, "best_prec1": 70.0}


@pytest.mark.parametrize(
    ("variant", "resolution", "gmacs", "parameters_m"),
    [
        ("tdn_r50_8", 256, 46.886, 24.883),
        ("tdn_r50_8", 224, 35.90, 24.883),
        ("tdn_r50_16", 256, 93.772, 24.883),
        ("tdn_r101_8", 256, 86.483, 44.145),
        ("tdn_r101_16", 256, 172.965, 44.145),
    ],
)
def test_its_cost_is_the_authors_classs(variant: str, resolution: int, gmacs: float, parameters_m: float) -> None:
    cost = cost_at(variant, resolution=resolution)
    # Enlarging and the last mean are not counted here, 0.03 % of it; nor is the layer that nothing uses.
    assert cost.gmacs == pytest.approx(gmacs, rel=0.001)
    assert cost.parameters_m == pytest.approx(parameters_m - (64 * 3 * 7 * 7 + 64) / 1e6, abs=0.001)


@pytest.mark.parametrize(
    ("pair", "parameters"), [(("tdn_r50_8", "tdn_r50_16"), 0.07), (("tdn_r101_8", "tdn_r101_16"), 0.01)]
)
def test_the_poster_adds_two_networks_up_at_224(pair: tuple[str, str], parameters: float) -> None:
    costs = [cost_at(variant, resolution=224) for variant in pair]
    for variant, cost in zip(pair, costs, strict=True):
        poster = TDN.variants[variant].poster
        assert poster is not None
        assert poster.gmacs_of == pair
        assert poster.gmacs == pytest.approx(sum(cost.gmacs for cost in costs), rel=0.01)
        assert poster.parameters_m == pytest.approx(cost.parameters_m, rel=parameters)


def test_the_authors_file_is_read_without_the_layer_that_they_never_use(model: VideoModel, tmp_path: Path) -> None:
    read = loaded_equals(saved(tmp_path / "best.pth.tar", _published(model)), model)
    assert read.epoch == 100
    assert {name.removeprefix("module.") for name in read.dropped} == set(UNUSED)
    assert ["conv1_temp" in remark for remark in read.remarks] == [True]


def test_a_file_of_more_blocks_is_refused(model: VideoModel, tmp_path: Path) -> None:
    content = _published(model)
    state = content["state_dict"]
    assert isinstance(state, dict)
    state["module.base_model.layer3_bak.6.conv1.bias"] = torch.zeros(32)
    with pytest.raises(CheckpointError) as caught:
        loaded_equals(saved(tmp_path / "r101.pth.tar", content), model)
    assert caught.value.code == "unexpected_key"


def test_its_entry_says_how_it_is_served(monkeypatch: pytest.MonkeyPatch, model: VideoModel, tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("one\ntwo\nthree\nfour\n")
    path = saved(tmp_path / "best.pth.tar", _published(model))
    manifest = exported(monkeypatch, model, path, tmp_path / "models", "--labels", str(labels))
    assert manifest["family"] == "tdn"
    assert (manifest["opset"], manifest["precisions"]["float32"]["parity"]["batch_sizes"]) == (17, [1, 2])
    assert manifest["output"] == {"name": "frame_logits", "kind": "per_step", "steps": [[0, 4], [5, 9], [10, 14]]}
    assert (manifest["sampling"], manifest["inputs"][0]["stride"], manifest["default_views"]) == (
        "segments_of_5",
        1,
        "10x3",
    )
    assert manifest["average"] == "probabilities"
    assert manifest["preprocess"] == {
        "short_side": 96,
        "crop_height": 96,
        "crop_width": 96,
        "interpolation": "bilinear_antialiased",
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "crop_order": "ends_first",
        "crop_offset": "down",
    }


def test_whoever_exports_one_says_the_order_of_its_labels(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], model: VideoModel, tmp_path: Path
) -> None:
    path = saved(tmp_path / "best.pth.tar", _published(model))
    assert run_export(monkeypatch, model, path, tmp_path / "models") == 5
    said = " ".join(capsys.readouterr().err.split())
    assert "no labels given, and family tdn has no one order of outputs that is known" in said
    assert "--labels, a shipped label set or a labels.txt in the order that the weights were trained with" in said
    assert not (tmp_path / "models").exists()
