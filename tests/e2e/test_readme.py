"""The commands of README, tour and checkpoint page, run in order as they stand, in a folder that looks like a clone."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import termios
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest

from support.golden_videos import golden_video
from support.i3d_archive import i3d_archive

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
TOUR = (ROOT / "docs" / "tour.md").read_text()
CHECKPOINT = (ROOT / "docs" / "checkpoint.md").read_text()
SHIPPED = ("camera-motion", "camera-motion-base2d")
PNG = b"\x89PNG"
EXPORT_COMMAND = "laps-export onnx --checkpoint best_ckpt.pth --variant laps --labels kinetics400-laps --name laps-k400"


def blocks(language: str, page: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Everything of the project, with the models that it ships and no others."""
    if not (ROOT / ".venv" / ".installed").is_file() or not (ROOT / ".venv-dev" / ".installed").is_file():
        pytest.skip("both environments are made by make test")
    for entry in ROOT.iterdir():
        if entry.name not in {"model_repository", ".git"}:
            (tmp_path / entry.name).symlink_to(entry)
    (tmp_path / "model_repository").mkdir()
    for name in SHIPPED:
        shutil.copytree(ROOT / "model_repository" / name, tmp_path / "model_repository" / name)
    return tmp_path


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


def shell(command: str, folder: Path, port: int) -> subprocess.CompletedProcess[str]:
    command = command.replace("127.0.0.1:8000", f"127.0.0.1:{port}")
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        check=False,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=400,
    )


@pytest.fixture
def started(clone: Path, port: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


def approx(value: Any) -> Any:
    """The same structure with every float compared loosely: other processors round differently."""
    if isinstance(value, dict):
        return {key: approx(item) for key, item in value.items()}
    if isinstance(value, list):
        return [approx(item) for item in value]
    return pytest.approx(value, rel=5e-3, abs=5e-3) if isinstance(value, float) else value


def terminal(command: str, folder: Path, port: int) -> str:
    """What a terminal of 200 columns shows when the command is done, without its colours."""
    ours, theirs = os.openpty()
    # Readline, where something has imported it, leaves a size of its own in the environment, and that would count.
    environment = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES"}}
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 200, 0, 0))
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        check=False,
        cwd=folder,
        env={**environment, "LAPS_URL": f"http://127.0.0.1:{port}", "TERM": "xterm"},
        stdout=theirs,
        stderr=subprocess.PIPE,
        text=True,
        timeout=400,
    )
    # The terminal's buffer holds more than the few lines of one file.
    written = os.read(ours, 65536).decode() if done.returncode == 0 else ""
    os.close(theirs)
    os.close(ours)
    assert done.returncode == 0, done.stderr
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written).replace("\r\n", "\n")


def save(path: Path, program: str, port: int) -> None:
    path.write_text(program.replace("127.0.0.1:8000", f"127.0.0.1:{port}"))


def eighths(drawn: str) -> list[int]:
    """How full each character of a bar or a sparkline is."""
    return [ord(mark) - 0x2580 if ord(mark) <= 0x2588 else 0x2590 - ord(mark) for mark in drawn]


def assert_shows(printed: str, shown: str) -> None:
    """The block of one file, but for its time and where the file lies; numbers and drawings loosely."""
    (head, *rows), (shown_head, *shown_rows) = printed.rstrip().splitlines(), shown.rstrip().splitlines()
    (path, facts), (shown_path, shown_facts) = head.split("  "), shown_head.split("  ")
    assert path.endswith(shown_path.removeprefix("…"))
    assert facts.rpartition(", ")[0] == shown_facts.rpartition(", ")[0]
    for row, shown_row in zip(rows, shown_rows, strict=True):
        for cell, shown_cell in zip(re.split(" {2,}", row.strip()), re.split(" {2,}", shown_row.strip()), strict=True):
            if re.fullmatch(r"0\.\d+", shown_cell):
                assert float(cell) == pytest.approx(float(shown_cell), abs=5e-3)
            elif re.fullmatch("[\u2581-\u258f]+", shown_cell):
                pairs = zip_longest(eighths(cell), eighths(shown_cell), fillvalue=0)
                assert sum(abs(one - other) for one, other in pairs) <= 3, (row, shown_row)
            else:
                assert cell == shown_cell


def test_the_first_session_and_the_tour_go_as_shown(
    clone: Path, port: int, started: list[subprocess.Popen[bytes]]
) -> None:
    i3d_archive()  # without it there is nothing to show
    (clone / "video.mp4").symlink_to(golden_video("arm_wrestling"))
    serve, own_video, sample, _docker, dev, run = blocks("sh")
    assert (serve, dev) == ("make serve\n", "make dev\n")
    started.append(subprocess.Popen(["make", "serve", f"PORT={port}"], cwd=clone, start_new_session=True))

    shown, shown_sample = map(json.loads, blocks("json"))
    answered = shell(own_video, clone, port)
    assert answered.returncode == 0, answered.stderr
    ready, end = json.JSONDecoder().raw_decode(answered.stdout)
    assert ready["status"] == "ok"
    answer = json.loads(answered.stdout[end:])
    for changing in ("request_id", "timings_ms"):
        assert type(answer.pop(changing)) is type(shown.pop(changing))
    # What is shown was found on one machine; float32 is the same on all.
    assert shown["model"] | {"engine": "ort", "precision": "float32"} == answer["model"]
    shown["model"] = answer["model"]
    assert answer == approx(shown)

    answered = shell(sample, clone, port)
    assert answered.returncode == 0, answered.stderr
    answer = json.loads(answered.stdout)
    assert {key: answer[key] for key in shown_sample} == approx(shown_sample)

    (program,) = blocks("python")
    save(clone / "scores.py", program, port)
    printed = shell(run, clone, port)
    assert f"prints `{printed.stdout.strip()}`" in README, printed.stderr

    check_the_tour(clone, port)


def check_the_tour(clone: Path, port: int) -> None:
    run, line, offline, film, segments, stream = blocks("sh", TOUR)
    (shown_film,) = map(json.loads, blocks("json", TOUR))
    shown_line, shown_segments = blocks("text", TOUR)
    told = re.findall(r"\*([a-z ]+)\* (0\.\d+) at\s`(\d+x1)`", TOUR)
    assert len(told) == 3
    query = "http://127.0.0.1:8000/classify?model=camera-motion"
    for label, score, views in told:
        request = f"curl -sS -F file=@examples/pan-then-zoom.mp4 '{query}&views={views}'"
        first = json.loads(shell(request, clone, port).stdout)["predictions"][0]
        assert first["label"] == label
        assert first["score"] == pytest.approx(float(score), abs=0.01)

    (program,) = blocks("python", TOUR)
    save(clone / "curve.py", program, port)
    plotted = shell(run, clone, port)
    assert plotted.returncode == 0, plotted.stderr
    assert (clone / "scores.png").read_bytes().startswith(PNG)

    assert_shows(terminal(line, clone, port), shown_line)
    assert (clone / "curve.png").read_bytes().startswith(PNG)

    listed = shell(offline, clone, port)
    assert listed.returncode == 0, listed.stderr
    assert json.loads(listed.stdout)["predictions"][0]["label"] == "zoom in"

    answered = shell(film, clone, port)
    assert answered.returncode == 0, answered.stderr
    answer = json.loads(answered.stdout)
    assert {key: answer[key] for key in shown_film} == approx(shown_film)

    # The variable that the film's first line sets is that of the same terminal.
    variable = film.partition("\n")[0] + "\n"
    assert_shows(terminal(variable + segments, clone, port), shown_segments)
    streamed = shell(variable + stream, clone, port)
    events = re.findall(r"^event: (\w+)$", streamed.stdout, flags=re.MULTILINE)
    assert events == ["accepted", "decoded", "segment", "segment", "segment", "result"], streamed.stderr


def test_the_tests_are_run_by_the_command_shown() -> None:
    assert "make test\n" in "".join(blocks("sh", (ROOT / "CONTRIBUTING.md").read_text()))
    assert (ROOT / ".ci" / "run").read_text().rstrip().endswith("make test")


def test_a_trial_with_random_weights_goes_as_shown(
    clone: Path, port: int, started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KINETICS", "0")
    (trial,) = (block for block in blocks("sh", CHECKPOINT) if "--random-weights" in block)
    done = shell(trial, clone, port)
    assert done.returncode == 0, done.stderr
    (warning,) = json.loads(done.stdout.splitlines()[-1])["warnings"]
    assert "untrained" in warning

    # The whole gate of a shipped variant, with nothing patched, and its progress without a terminal.
    stages = done.stderr.splitlines()
    assert any("ONNX Runtime" in stage and "16" in stage for stage in stages)
    assert any("untrained" in stage for stage in stages)
    manifest = json.loads((clone / "model_repository" / "trial" / "1" / "laps.json").read_text())
    assert manifest["untrained"] is True
    parity = manifest["precisions"]["float32"]["parity"]
    assert parity["batch_sizes"] == [1, 3, 16]
    assert 0 < parity["max_abs_diff"] <= 1e-3
    assert sorted(path.name for path in (clone / "model_repository").iterdir()) == sorted([*SHIPPED, "trial"])

    # What is said of the checkpoint's entry holds for this one.
    (restart,) = (block for block in blocks("sh", CHECKPOINT) if "LAPS_DEFAULT_MODEL" in block)
    command = restart.replace("laps-k400", "trial").replace("make serve", f"exec make serve PORT={port}")
    started.append(subprocess.Popen(["bash", "-c", command], cwd=clone, start_new_session=True))
    ready = blocks("sh")[1].splitlines()[0]
    for asked, model in (("", "trial"), ("?model=camera-motion", "camera-motion"), ("?model=trial", "trial")):
        request = f"curl -sS -F file=@examples/pan-then-zoom.mp4 'http://127.0.0.1:8000/classify{asked}'"
        answered = shell(f"{ready} > /dev/null\n{request}", clone, port)
        assert json.loads(answered.stdout)["model"]["name"] == model, answered.stderr


def test_an_empty_repository_tells_how_to_fill_it(clone: Path, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINETICS", "0")
    for name in SHIPPED:
        shutil.rmtree(clone / "model_repository" / name)
    nothing = shell("make serve", clone, port)
    assert nothing.returncode != 0
    assert "laps-export onnx" in nothing.stderr


def test_the_checkpoint_command_is_the_one_that_the_golden_tests_run() -> None:
    assert any(EXPORT_COMMAND in block for block in blocks("sh", CHECKPOINT))
    conftest = (Path(__file__).parent / "conftest.py").read_text()
    assert EXPORT_COMMAND.removeprefix("laps-export ").replace("best_ckpt.pth", "{checkpoint}") in conftest
