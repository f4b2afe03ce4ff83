"""The command line through its real entry point; tests/e2e runs it as a process, with a variant that ships."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import pytest
import torch

from laps_export import errors
from laps_export.checkpoint.reading import read_checkpoint
from laps_export.cli import app as cli
from laps_export.families import registry
from support.golden_weights import write_golden_checkpoint


@pytest.fixture(autouse=True)
def _keep_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)


@pytest.fixture
def seven(tmp_path: Path) -> Path:
    path = tmp_path / "seven.txt"
    path.write_text("".join(f"label {i}\n" for i in range(7)))
    return path


def _run(monkeypatch: pytest.MonkeyPatch, *args: object) -> int:
    monkeypatch.setattr(sys, "argv", ["laps-export", *map(str, args)])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return int(caught.value.code or 0)


def test_every_error_has_an_exit_code_of_its_own() -> None:
    assert set(cli.EXIT_CODES) == set(errors.LapsExportError.__subclasses__())
    assert len(set(cli.EXIT_CODES.values())) == len(cli.EXIT_CODES)


def test_variants_prints_computed_costs_for_programs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(monkeypatch, "variants", "laps", "laps_tiny") == 0
    header, laps, tiny = (line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert header[0] == "variant"
    assert laps == ["laps", "8 x 224", "[1,2,3,1] / [2,3,1,2]", "40.136", "40.1", "39.758", "39.8", "76.04"]
    assert tiny[-1] == "-"


def test_variants_says_of_whom_else_a_figure_of_the_poster_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(monkeypatch, "variants", "tdn_r50_16") == 0
    header, row = (line.split("\t") for line in capsys.readouterr().out.splitlines())
    figures = dict(zip(header[3:5], row[3:5], strict=True))
    assert figures == {"GMACs": "93.745", "(poster)": "108 with tdn_r50_8"}


@pytest.mark.usefixtures("small_variant")
def test_a_checkpoint_becomes_an_entry(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, seven: Path
) -> None:
    checkpoint = write_golden_checkpoint(tmp_path / "best_ckpt.pth", variant="small", classes=7)
    repository = tmp_path / "models"
    options = ["--labels", seven, "--name", "small", "--repository", repository]
    assert _run(monkeypatch, "onnx", "--checkpoint", checkpoint, "--variant", "small", *options) == 0
    assert "models/small/1: small, 7 classes" in capsys.readouterr().out
    manifest = json.loads((repository / "small" / "1" / "laps.json").read_text())
    assert manifest["untrained"] is False
    assert manifest["labels"]["name"] == "seven"
    assert (manifest["schema_version"], manifest["sampling"]) == (2, "laps_uniform")
    recorded = manifest["provenance"]["checkpoint"]
    assert recorded["file"] == "best_ckpt.pth"
    assert recorded["sha256"] == read_checkpoint(checkpoint).sha256
    assert (recorded["epoch"], recorded["best_acc1"]) == (17, 76.0)
    assert _run(monkeypatch, "verify", repository / "small") == 0
    assert capsys.readouterr().out == "small version 1: ok (small)\n"


@pytest.mark.usefixtures("small_variant")
def test_an_entry_names_the_rule_that_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, seven: Path
) -> None:
    options = ["--labels", seven, "--name", "small", "--repository", tmp_path / "models", "--random-weights"]
    asked = ["--variant", "small", "--sampling", "uniform_in_order"]
    assert _run(monkeypatch, "onnx", *options, *asked) == 0
    manifest = json.loads((tmp_path / "models" / "small" / "1" / "laps.json").read_text())
    assert manifest["sampling"] == "uniform_in_order"


@pytest.mark.usefixtures("small_variant")
def test_convert_gives_a_file_that_knows_its_variant(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, seven: Path
) -> None:
    checkpoint = write_golden_checkpoint(tmp_path / "best_ckpt.pth", variant="small", classes=7)
    ours = tmp_path / "small.safetensors"
    assert _run(monkeypatch, "convert", checkpoint, ours, "--variant", "small") == 0
    assert read_checkpoint(ours).variant == "small"
    assert _run(monkeypatch, "convert", checkpoint, ours, "--variant", "small") == 6
    assert "file_exists" in capsys.readouterr().err
    eight = tmp_path / "eight.txt"
    eight.write_text(seven.read_text() + "label 7\n")
    options = ["--checkpoint", ours, "--labels", eight, "--name", "x", "--repository", tmp_path / "models"]
    assert _run(monkeypatch, "onnx", *options) == 4
    assert "has 7 classes, the label set 8" in capsys.readouterr().err


@pytest.mark.usefixtures("small_variant")
def test_a_backbone_is_exported_with_a_random_head_only_if_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, seven: Path
) -> None:
    backbone = tmp_path / "imagenet.pth"
    torch.save({"model": registry.build("small", classes=1000).network.state_dict()}, backbone)
    repository = tmp_path / "models"
    options = ["--variant", "small", "--labels", seven, "--name", "b", "--repository", repository]
    assert _run(monkeypatch, "onnx", "--checkpoint", backbone, *options) == 4
    assert "no_head" in capsys.readouterr().err
    assert _run(monkeypatch, "onnx", "--checkpoint", backbone, "--random-weights", *options) == 0
    assert "dropped head.weight, head.bias" in capsys.readouterr().err
    assert json.loads((repository / "b" / "1" / "laps.json").read_text())["untrained"] is True


@pytest.mark.usefixtures("small_variant")
def test_a_whole_model_under_the_key_of_backbones_is_exported_with_its_head(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, seven: Path
) -> None:
    whole = tmp_path / "whole.pth"
    torch.save({"model": registry.build("small", classes=7).network.state_dict(), "epoch": 3}, whole)
    assert _run(monkeypatch, "convert", whole, tmp_path / "ours.safetensors", "--variant", "small") == 0
    told = "whole.pth: took what is under 'model' for a trained model with a head of 7 classes\n"
    assert told in capsys.readouterr().err
    repository = tmp_path / "models"
    options = ["--variant", "small", "--labels", seven, "--name", "w", "--repository", repository]
    assert _run(monkeypatch, "onnx", "--checkpoint", whole, *options) == 0
    captured = capsys.readouterr()
    assert told in captured.err
    assert "dropped" not in captured.err
    manifest = json.loads((repository / "w" / "1" / "laps.json").read_text())
    assert manifest["untrained"] is False
    assert manifest["provenance"]["checkpoint"]["format"] == "authors"


@pytest.mark.parametrize(
    ("args", "exit_code", "message"),
    [
        (["--variant", "lapse", "--random-weights"], 3, "unknown variant 'lapse'"),
        (["--random-weights"], 3, "no variant given"),
        (["--variant", "laps"], 4, "no weights given"),
        (["--variant", "laps", "--checkpoint", "none.pth"], 4, "cannot read checkpoint none.pth"),
        (["--variant", "laps", "--random-weights", "--name", ".x"], 6, "model name '.x'"),
        (["--variant", "laps", "--random-weights", "--default-views", "3x5"], 3, "default views '3x5'"),
        (["--variant", "laps", "--random-weights", "--labels", "none.txt"], 5, "no label set 'none.txt'"),
        (["--variant", "laps", "--random-weights", "--sampling", "uniform"], 2, "'uniform_in_order'"),
        (["--colour"], 2, "No such option"),
    ],
    ids=["variant", "no-variant", "no-weights", "no-file", "name", "views", "labels", "sampling", "option"],
)
def test_mistakes_give_a_message_and_an_exit_code(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    args: list[str],
    exit_code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    defaults = ["--labels", "kinetics400-laps", "--name", "x"]
    assert _run(monkeypatch, "onnx", *defaults, *args) == exit_code
    captured = capsys.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""
    assert list(tmp_path.iterdir()) == []
