"""docs/reliability.md and the tests that hold it name each other."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reliability.md").read_text()
SECTIONS = re.findall(r"^## (?:Inputs|Faults)\n(.+?)(?=^## )", PAGE, re.MULTILINE | re.DOTALL)
ROWS = [re.split(r" \| ", row.strip("| ")) for text in SECTIONS for row in text.splitlines() if row.startswith("| ")]
NAMED = [test for row in ROWS for test in re.findall(r"`([^`]+)`", row[-1])]

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@pytest.fixture(scope="module")
def hostile() -> list[str]:
    """What pytest collects of tests/hostile, by its ids."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "--quiet", "tests/hostile"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return [line for line in done.stdout.splitlines() if "::" in line]


def test_every_row_has_a_test() -> None:
    rows = [row for row in ROWS if row[-1] not in ("tests", "---")]
    assert len(SECTIONS) == 2
    assert len(rows) > 30
    assert [row[0] for row in rows if "`" not in row[-1]] == []
    assert len(NAMED) == len(set(NAMED))


def test_every_test_that_a_row_names_is_there(hostile: list[str]) -> None:
    cases = {match[1] for test in hostile if (match := re.search(r"test_table\.py::.*\[(.+)\]", test))}
    for test in NAMED:
        path, both, name = test.partition("::")
        if not both:
            assert test in cases, test
        else:
            functions = [node for node in ast.parse((ROOT / path).read_bytes()).body if isinstance(node, _FUNCTIONS)]
            assert name in (function.name for function in functions), test


def test_every_case_has_a_row(hostile: list[str]) -> None:
    for test in hostile:
        function, _, case = test.removesuffix("]").partition("[")
        assert case in NAMED or function in NAMED, test
