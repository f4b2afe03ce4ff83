"""``laps diff`` against a real server: two versions of one model, and models that cannot be compared."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from laps_client.cli.diff import DiffReport, FileDiff
from support.laps_command import LapsCommand
from support.live_servers import ServerProcess, running_server
from support.model_repositories import colour_graph, write_model
from support.plain_videos import BLUE, GREEN, RED, write_colour_video


def blind_to_green() -> onnx.ModelProto:
    """Takes what is green for something darker and everything else for what it is."""
    graph = colour_graph(frames=4, size=32, classes=4)
    weight = numpy_helper.to_array(graph.graph.initializer[0]).copy()
    weight[:, 1] = 0
    graph.graph.initializer[0].CopyFrom(numpy_helper.from_array(weight.astype(np.float32), "weight"))
    return graph


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("diff")
    write_model(home / "models", "colours", version=1)
    write_model(home / "models", "colours", version=2, graph=blind_to_green())
    write_model(home / "models", "other", labels=("a", "b", "c", "d"))
    (home / "videos").mkdir()
    write_colour_video(home / "videos" / "red.mp4", [RED] * 10)
    write_colour_video(home / "videos" / "green.mp4", [GREEN] * 10)
    write_colour_video(home / "videos" / "blue.mp4", [BLUE] * 10)
    write_colour_video(home / "videos" / "mixed.mp4", [RED] * 5 + [GREEN] * 5)
    return home


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[ServerProcess]:
    with running_server(home / "models", env={"LAPS_VERSIONS": "all"}) as process:
        yield process


def test_two_versions_are_compared(
    laps: LapsCommand, server: ServerProcess, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    done = laps("diff", "colours/1", "colours", "videos", "--json", url=server.url)
    assert (done.status, done.err) == (0, "")
    report = json.loads(done.out)
    assert (report["model_a"], report["model_b"]) == ("colours/1", "colours/2")
    assert (report["videos"], report["failed"], report["agreement"]) == (4, 0, 0.75)
    worst, *others = report["files"]
    assert (worst["path"], worst["label_a"], worst["agrees"]) == ("videos/green.mp4", "green", False)
    assert worst["label_b"] != "green"
    assert worst["shift"] == pytest.approx(worst["score_a"] - worst["score_b"]) == report["p99_shift"]
    assert others[0]["path"] == "videos/mixed.mp4", "of those that agree, the one that is part green changed most"
    assert [file["shift"] for file in others] == sorted((file["shift"] for file in others), reverse=True)
    assert report["mean_shift"] == pytest.approx(sum(file["shift"] for file in report["files"]) / 4)
    answer = laps("classify", "videos/green.mp4", "--model", "colours", "--version", 2, "--json", url=server.url)
    scores = {item["label"]: item["score"] for item in json.loads(answer.out)[0]["predictions"]}
    assert worst["score_b"] == pytest.approx(scores["green"])


def test_the_table_names_the_worst_files(
    laps: LapsCommand, server: ServerProcess, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    done = laps("diff", "colours/1", "colours/2", "videos", "--worst", 1, "--views", "1x1", url=server.url)
    assert done.status == 0
    head, worst = done.out.split("\n\nworst first\n")
    assert "agreement  75.00 %, 3 of 4" in head
    assert worst.startswith("  videos/green.mp4  green became ")
    assert worst.count("\n") == 1


@pytest.mark.parametrize(("least", "status"), [(0.75, 0), (0.76, 5)])
def test_a_script_sees_by_the_status_whether_they_agree(
    laps: LapsCommand, server: ServerProcess, home: Path, least: float, status: int
) -> None:
    done = laps("diff", "colours/1", "colours/2", home / "videos", "--min-agreement", least, url=server.url)
    assert done.status == status
    assert "agreement  75.00 %" in done.out


def test_what_one_of_them_cannot_classify_is_counted_apart(
    laps: LapsCommand, server: ServerProcess, home: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"no video " * 50)
    done = laps("diff", "colours/1", "colours/2", tmp_path, home / "videos" / "red.mp4", url=server.url)
    assert done.status == 1
    assert "videos     1, 1 failed" in done.out
    assert "bad.mp4" in done.err


@pytest.mark.parametrize(
    ("models", "said"),
    [
        (("colours", "other"), "have other labels"),
        (("colours", "none"), "no model 'none' is served"),
        (("colours/3", "colours"), "version 3 of model 'colours' is not served"),
        (("colours/one", "colours"), "write it as NAME or NAME/VERSION"),
    ],
)
def test_what_cannot_be_compared_is_wrong_use(
    laps: LapsCommand, server: ServerProcess, home: Path, models: tuple[str, str], said: str
) -> None:
    done = laps("diff", *models, home / "videos", url=server.url)
    assert (done.status, done.out) == (2, "")
    assert said in done.err


def test_the_p99_is_the_shift_that_one_in_a_hundred_exceeds() -> None:
    files = tuple(FileDiff(f"{i}.mp4", "a", "a", 0.0, i / 1000) for i in range(1, 201))
    report = DiffReport("a/1", "b/1", files, failed=0)
    assert report.p99_shift == 0.198
    assert DiffReport("a/1", "b/1", files[:1], failed=0).p99_shift == 0.001
