"""The seam for families: a toy one, added as a row of the table and by nothing else, goes all the way."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import pytest
import torch

from laps_export.checkpoint.checkpoint import WeightFile
from laps_export.checkpoint.loading import load_weights
from laps_export.checkpoint.reading import read_checkpoint
from laps_export.cli import app as cli
from laps_export.errors import CheckpointError, ConfigError, ParityError
from laps_export.families import registry
from laps_export.families.laps.family import LAPS
from laps_export.graph.onnx_export import export_onnx
from laps_export.graph.parity import check_parity
from laps_export.repository.check_entry import check_entry
from laps_export.train.train_model import train_model
from laps_export.train.training_settings import LoopSettings, TrainingRecipe
from laps_server.models.manifest import parse_manifest
from support.golden_weights import write_golden_checkpoint
from support.registered import register
from support.toy_family import TOY, Toy

_HALVES = {"upper": slice(3), "lower": slice(3, 5)}


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, TOY)
    monkeypatch.setattr(signal, "signal", lambda *_: None)


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "five.txt"
    path.write_text("".join(f"label {i}\n" for i in range(5)))
    return path


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """As the toy's authors would have saved it."""
    torch.manual_seed(0)
    state = registry.build("toy_small", classes=5).network.state_dict()
    torch.save(
        {"epoch": 7, "model_state": {f"net.{name}": value for name, value in state.items()}}, tmp_path / "toy.pth"
    )
    return tmp_path / "toy.pth"


def _run(monkeypatch: pytest.MonkeyPatch, *args: object) -> int:
    monkeypatch.setattr(sys, "argv", ["laps-export", *map(str, args)])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return int(caught.value.code or 0)


def test_its_checkpoint_becomes_an_entry_that_says_what_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, checkpoint: Path, labels: Path
) -> None:
    repository = tmp_path / "models"
    options = ["--labels", labels, "--name", "toy-5", "--repository", repository]
    assert _run(monkeypatch, "onnx", "--checkpoint", checkpoint, "--variant", "toy_small", *options) == 0
    captured = capsys.readouterr()
    assert "at batches 1, 3, 4" in captured.out, "the gate goes as far as the variant's largest batch"
    assert "untrained" not in captured.err
    text = (repository / "toy-5" / "1" / "laps.json").read_bytes()
    manifest = json.loads(text)
    assert (manifest["family"], manifest["variant"]) == ("toy", "toy_small")
    assert manifest["output"] == {"name": "frame_logits", "kind": "per_clip"}
    assert manifest["embedding"] == {"name": "embedding", "size": 8}
    assert manifest["inputs"][0]["frames"] == 4
    assert (manifest["inputs"][0]["height"], manifest["preprocess"]["short_side"]) == (32, 36)
    assert manifest["preprocess"]["mean"] == [0.45, 0.45, 0.45]
    assert (manifest["default_views"], manifest["inputs"][0]["stride"]) == ("2x1", 2)
    assert manifest["sampling"] == "uniform_in_order"
    assert manifest["max_batch"] == 4
    assert "max_batch_size: 4\n" in (repository / "toy-5" / "config.pbtxt").read_text()
    assert "dims: [ 5 ]" in (repository / "toy-5" / "config.pbtxt").read_text()
    assert "dims: [ 8 ]" in (repository / "toy-5" / "config.pbtxt").read_text()
    (checked,) = check_entry(repository / "toy-5")
    assert (checked.variant, checked.untrained) == ("toy_small", False)
    assert parse_manifest(text, where="toy-5/1/laps.json").family == "toy"


def test_a_variant_may_be_served_otherwise_than_its_family(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, labels: Path
) -> None:
    options = ["--labels", labels, "--name", "wide", "--repository", tmp_path, "--random-weights", "--stride", "5"]
    assert _run(monkeypatch, "onnx", "--variant", "toy_wide", *options) == 0
    manifest = json.loads((tmp_path / "wide" / "1" / "laps.json").read_text())
    assert (manifest["default_views"], manifest["sampling"]) == ("1x3", "tokshift")
    assert manifest["inputs"][0]["stride"] == 5, "what is asked for goes before both"


def test_labels_may_be_left_out_where_the_authors_order_is_known(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    options = ["--name", "toy", "--repository", tmp_path, "--random-weights"]
    assert _run(monkeypatch, "onnx", "--variant", "toy_small", *options) == 0
    assert "labels: kinetics400-alphabetical, which is likely the authors' order" in capsys.readouterr().err
    manifest = json.loads((tmp_path / "toy" / "1" / "laps.json").read_text())
    assert manifest["labels"]["name"] == "kinetics400-alphabetical"
    assert _run(monkeypatch, "onnx", "--variant", "laps_nano", *options) == 5
    assert "no labels given, and family laps has no one order" in capsys.readouterr().err


def test_an_embedding_that_is_not_torchs_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model = registry.build("toy_small", classes=5)
    export_onnx(model, tmp_path / "toy.onnx")
    check_parity(model, tmp_path / "toy.onnx")
    forward = Toy.forward
    monkeypatch.setattr(Toy, "forward", lambda toy, clips: (forward(toy, clips)[0], forward(toy, clips)[1] * 1.1))
    with pytest.raises(ParityError) as caught:
        check_parity(model, tmp_path / "toy.onnx")
    assert caught.value.code == "parity_embedding"


def test_its_variants_stand_in_the_table_with_a_column_of_their_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(monkeypatch, "variants", "toy_wide", "base2d_nano") == 0
    header, toy, laps = (line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert header[2:4] == ["levels stage2 / stage3", "width"]
    assert (toy[:4], toy[-1]) == (["toy_wide", "4 x 32", "-", "16"], "12.50")
    assert header[4:8] == ["GMACs", "(poster)", "params (M)", "(poster)"]
    assert (toy[5], toy[7], laps[5]) == ("0.5", "-", "-")
    assert laps[2:4] == ["-", "-"]


def test_our_own_file_of_it_knows_its_variant(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, checkpoint: Path, labels: Path
) -> None:
    ours = tmp_path / "toy.safetensors"
    assert _run(monkeypatch, "convert", checkpoint, ours, "--variant", "toy_small") == 0
    read = read_checkpoint(ours)
    assert (read.form, read.family, read.variant, read.epoch) == (WeightFile.OURS, TOY, "toy_small", 7)
    options = ["--labels", labels, "--name", "t", "--repository", tmp_path / "models", "--stride", "3"]
    assert _run(monkeypatch, "onnx", "--checkpoint", ours, *options) == 0
    manifest = json.loads((tmp_path / "models" / "t" / "1" / "laps.json").read_text())
    assert (manifest["variant"], manifest["default_views"], manifest["inputs"][0]["stride"]) == ("toy_small", "2x1", 3)


def test_files_are_told_apart_by_the_names_in_them(tmp_path: Path, checkpoint: Path) -> None:
    golden = write_golden_checkpoint(tmp_path / "golden.pth", variant="laps_nano", classes=3)
    assert read_checkpoint(checkpoint).family is TOY
    assert read_checkpoint(golden).family is LAPS
    assert set(read_checkpoint(checkpoint).state) == {"conv.weight", "conv.bias", "fc.weight", "fc.bias"}


def test_what_the_network_does_not_use_is_left_out_and_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, checkpoint: Path
) -> None:
    data = torch.load(checkpoint)
    data["model_state"]["net.fc.counter"] = torch.zeros(1)
    torch.save(data, checkpoint)
    assert read_checkpoint(checkpoint).dropped == ("fc.counter",)
    assert _run(monkeypatch, "convert", checkpoint, tmp_path / "x.safetensors", "--variant", "toy_small") == 0
    assert "left out fc.counter, which the network does not use" in capsys.readouterr().err


def test_another_librarys_names_become_the_networks_own(tmp_path: Path, checkpoint: Path) -> None:
    own = dict(read_checkpoint(checkpoint).state)
    halves = {
        f"{half}.{part}": own[f"fc.{part}"][rows] for part in ("weight", "bias") for half, rows in _HALVES.items()
    }
    theirs = {**{name.replace("conv", "filters"): own[name] for name in own if "conv" in name}, **halves}
    torch.save(theirs, tmp_path / "theirs.pth")
    read = read_checkpoint(tmp_path / "theirs.pth")
    assert read.family is TOY
    assert read.state.keys() == own.keys()
    assert all(torch.equal(read.state[name], own[name]) for name in own)
    del theirs["lower.bias"]
    torch.save(theirs, tmp_path / "half.pth")
    with pytest.raises(CheckpointError, match=r"lacks fc\.bias"):
        load_weights(registry.build("toy_small", classes=5), read_checkpoint(tmp_path / "half.pth"))


def test_a_file_of_another_family_does_not_fit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, checkpoint: Path
) -> None:
    assert _run(monkeypatch, "convert", checkpoint, tmp_path / "x.safetensors", "--variant", "laps_nano") == 4
    assert "neither 'state_dict' nor 'model' is in it, but 'epoch', 'model_state'" in capsys.readouterr().err


def test_what_it_does_not_bring_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, labels: Path
) -> None:
    recipe = TrainingRecipe(loop=LoopSettings(steps=1), variant="toy_small")
    with pytest.raises(ConfigError) as caught:
        train_model(recipe, tmp_path / "run", cache=None, resume=False, on_progress=lambda *_: None)
    assert caught.value.code == "not_trainable"
    options = ["--labels", labels, "--name", "toy", "--repository", tmp_path / "models", "--random-weights"]
    assert _run(monkeypatch, "onnx", "--variant", "toy_small", *options) == 0
    monkeypatch.setattr("laps_export.cli.tensorrt.find_builder", lambda **_: object())
    assert _run(monkeypatch, "tensorrt", tmp_path / "models" / "toy") == 7
    assert "not typed to float16" in capsys.readouterr().err
