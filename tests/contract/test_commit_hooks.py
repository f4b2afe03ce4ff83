"""Hooks of a commit are this project's own commands: they fetch nothing, and check what ``make test`` checks."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text()


def hooks() -> list[dict[str, Any]]:
    loaded = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert {repo["repo"] for repo in loaded["repos"]} == {"local"}
    return [hook for repo in loaded["repos"] for hook in repo["hooks"]]


@pytest.mark.parametrize(
    "hook", [hook for hook in hooks() if hook["language"] == "system"], ids=lambda hook: hook["id"]
)
def test_a_command_is_one_that_the_makefile_runs_too(hook: dict[str, Any]) -> None:
    program, argument, *_ = shlex.split(hook["entry"])
    if program == "make":
        assert re.search(rf"^{argument}:", MAKEFILE, re.MULTILINE)
    else:
        folder, _, tool = program.partition("/bin/")
        assert f"DEV := {folder}\n" in MAKEFILE
        assert f"$(DEV)/bin/{tool} {argument}" in MAKEFILE


@pytest.mark.parametrize(
    ("name", "wrong", "right"),
    [
        ("trailing-whitespace", ["a = 1 ", "\t"], ["a = 1", ""]),
        ("merge-conflict", ["<<<<<<< HEAD", ">>>>>>> main"], ["=======", "a <<<<<<< b"]),
    ],
)
def test_a_pattern_finds_what_it_is_for(name: str, wrong: list[str], right: list[str]) -> None:
    (hook,) = (hook for hook in hooks() if hook["id"] == name)
    assert hook["language"] == "pygrep"
    assert all(re.search(hook["entry"], line) for line in wrong)
    assert not any(re.search(hook["entry"], line) for line in right)
