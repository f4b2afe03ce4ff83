"""What `make serve` would run, told by `make -n`: nothing is set up and nothing is fetched."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FETCH = "laps-export fetch i3d-kinetics400"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The project without what was made in it."""
    for entry in ROOT.iterdir():
        if entry.name not in {"model_repository", ".git", ".venv"}:
            (tmp_path / entry.name).symlink_to(entry)
    (tmp_path / "model_repository").mkdir()
    return tmp_path


def would_run(clone: Path, *arguments: str, **environment: str) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LAPS_", "MAKE", "MFLAGS"))}
    for name in ("KINETICS", "MODEL_REPOSITORY"):
        kept.pop(name, None)
    command = ["make", "--dry-run", *arguments]
    done = subprocess.run(
        command, cwd=clone, env=kept | environment, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


def test_the_first_start_sets_up_fetches_and_prefers_what_it_fetched(clone: Path) -> None:
    commands = would_run(clone, "serve")
    setup, fetch, serve = (
        commands.index(part) for part in ("--editable export", f"{FETCH} --optional", "laps-server serve")
    )
    assert setup < fetch < serve
    assert "${LAPS_DEFAULT_MODEL-i3d-kinetics400,camera-motion}" in commands


def test_a_network_that_is_there_is_not_fetched_again(clone: Path) -> None:
    (clone / "model_repository" / "i3d-kinetics400").mkdir()
    commands = would_run(clone, "serve")
    assert FETCH not in commands
    assert "i3d-kinetics400,camera-motion" in commands


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        pytest.param(["KINETICS=0"], {}, id="not wanted"),
        pytest.param([], {"KINETICS": "0"}, id="not wanted by the environment"),
        pytest.param(["MODEL_REPOSITORY=/mine"], {}, id="another folder"),
        pytest.param([], {"LAPS_MODEL_REPOSITORY": "/mine"}, id="another folder by the setting"),
    ],
)
def test_it_is_left_out(clone: Path, arguments: list[str], environment: dict[str, str]) -> None:
    commands = would_run(clone, "serve", *arguments, **environment)
    assert FETCH not in commands
    assert "LAPS_DEFAULT_MODEL" not in commands


def test_it_can_be_made_alone_and_then_has_to_work(clone: Path) -> None:
    commands = would_run(clone, "kinetics")
    assert FETCH in commands
    assert "--optional" not in commands
    assert "laps-server serve" not in commands
