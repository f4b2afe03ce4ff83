"""`laps-export quantize` through its entry point, with a file of views."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from laps_export.cli import app as cli
from laps_export.cli.commands import Commands
from laps_export.quantize.view_file import DEFAULT_VIEWS
from support.quantizable_models import colour_views, write_convolution

pytest.importorskip("nncf", reason="laps-export[quantize] is not installed")


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["laps-export", "quantize", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return int(caught.value.code or 0)


def test_a_table_says_how_each_engine_fared(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("laps_export.quantize.write_int8.int8_instruction_set", lambda: "avx512_vnni")
    write_convolution(tmp_path / "models")
    np.save(tmp_path / "views.npy", colour_views(DEFAULT_VIEWS))
    options = ["--model", "colours", "--repository", tmp_path / "models", "--views-file", tmp_path / "views.npy"]
    assert run(monkeypatch, *options) == 0
    said = capsys.readouterr().out
    assert [line.split()[1] for line in said.splitlines() if "avx512_vnni" in line] == ["openvino", "ort"]
    assert "0 of 3 groups of layers stay in float32" in said
    assert said.endswith("models/colours/1: int8 added\n")
    assert run(monkeypatch, *options, "--measure") == 0
    assert "groups" not in capsys.readouterr().out


def test_what_does_not_hold_is_shown_and_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("laps_export.quantize.write_int8.int8_instruction_set", lambda: "avx512_vnni")
    write_convolution(tmp_path / "models", outliers=(300.0, 300.0))
    np.save(tmp_path / "views.npy", colour_views(DEFAULT_VIEWS))
    options = ["--model", "colours", "--repository", tmp_path / "models", "--views-file", tmp_path / "views.npy"]
    assert run(monkeypatch, *options) == 8
    said = capsys.readouterr()
    assert [line.split()[-2] for line in said.out.splitlines() if "avx512_vnni" in line] == ["no", "no"]
    assert "parity_int8" in said.err
    assert not (tmp_path / "models" / "colours" / "1" / "model.int8.onnx").exists()


@pytest.mark.parametrize("given", [[], ["--videos", "clips", "--views-file", "views.npy"]], ids=["none", "both"])
def test_views_come_from_one_place(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], given: list[str]
) -> None:
    assert run(monkeypatch, "--model", "colours", *given) == 3
    assert "--videos and --views-file" in capsys.readouterr().err


def test_without_its_packages_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.startswith(("laps_export.quantize", "laps_export.cli.quantize"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "nncf", None)
    assert "quantize" in Commands().list_commands(None)
    assert run(monkeypatch, "--model", "colours") == 3
    assert "laps-export[quantize]" in capsys.readouterr().err
