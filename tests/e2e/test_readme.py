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

from support_videos import golden_video

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
EXPORT_COMMAND = "laps-export onnx --checkpoint best_ckpt.pth --variant laps --labels kinetics400-laps --name laps-k400"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Everything of the project but its model repository, and the video of the session."""
    if not (ROOT / ".venv" / ".installed").is_file() or not (ROOT / ".venv-dev" / ".installed").is_file():
        pytest.skip("both environments are made by make test")
    for entry in ROOT.iterdir():
        if entry.name not in {"model_repository", ".git"}:
            (tmp_path / entry.name).symlink_to(entry)
    (tmp_path / "model_repository").mkdir()
    shutil.copy(golden_video("bikes"), tmp_path / "bikes.mp4")
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
    return pytest.approx(value, rel=5e-3) if isinstance(value, float) else value


def test_the_session_runs_and_its_answer_is_the_one_shown(
    clone: Path, port: int, started: list[subprocess.Popen[bytes]]
) -> None:
    first, tests, session, requests, offline, *_ = blocks("sh")
    assert (first.strip(), tests.strip()) == ("make serve", "make test")

    nothing = shell(first, clone, port)
    assert nothing.returncode != 0
    assert "laps-export onnx" in nothing.stderr

    *setup, serve = session.strip().splitlines()
    assert serve == "make serve"
    done = shell("\n".join(setup), clone, port)
    assert done.returncode == 0, done.stderr
    started.append(subprocess.Popen(["make", "serve", f"PORT={port}"], cwd=clone, start_new_session=True))

    answered = shell(requests, clone, port)
    assert answered.returncode == 0, answered.stderr
    answer = json.loads(answered.stdout[answered.stdout.index('{"request_id"') :])
    (shown,) = map(json.loads, blocks("json"))
    for changing in ("request_id", "timings_ms"):
        assert type(answer.pop(changing)) is type(shown.pop(changing))
    assert answer == approx(shown)

    listed = shell(offline, clone, port)
    assert listed.returncode == 0, listed.stderr
    assert json.loads(listed.stdout)["predictions"][0]["label"] == shown["predictions"][0]["label"]


def test_the_checkpoint_command_is_the_one_that_the_golden_tests_run() -> None:
    assert any(EXPORT_COMMAND in block for block in blocks("sh"))
    conftest = (Path(__file__).parent / "conftest.py").read_text()
    assert EXPORT_COMMAND.removeprefix("laps-export ").replace("best_ckpt.pth", "{checkpoint}") in conftest
