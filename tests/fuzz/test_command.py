"""``python -m fuzz`` finds what planted bugs do, keeps it, and sees it again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from laps_server.video.sandbox.options import IS_AVAILABLE

pytestmark = pytest.mark.skipif(not IS_AVAILABLE, reason="only Linux has the sandbox")

ROOT = Path(__file__).parents[2]


def fuzz(*arguments: object) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(ROOT / "tests"), *filter(None, sys.path)])
    command = [sys.executable, "-m", "fuzz", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": path, "COLUMNS": "200"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_the_decoder_stands_some_damage(tmp_path: Path) -> None:
    done = fuzz("run", "--cases", 60, "--findings", tmp_path / "findings")
    assert done.returncode == 0, done.stderr
    assert "60 cases" in done.stderr
    assert not (tmp_path / "findings").exists()


@pytest.mark.parametrize(
    ("bug", "finding"),
    [
        ("segfault", "crashed"),
        ("stuck", "stalled"),
        ("deaf", "endless"),
    ],
)
def test_a_bug_is_found_and_kept_and_seen_again_until_it_is_mended(bug: str, finding: str, tmp_path: Path) -> None:
    limits = ("--stall-s", 0.5, "--address-mib", 256, "--cpu-s", 0.3)
    planted = ("--extract", f"support.planted_bugs:{bug}", *limits)
    done = fuzz("run", "--cases", 1, "--findings", tmp_path, *planted)
    assert done.returncode == 1, done.stderr
    (kept,) = tmp_path.glob("*.json")
    assert kept.name.startswith(f"{finding}-1-0")
    assert json.loads(kept.read_bytes())["seed"] in kept.with_suffix(".txt").read_text()
    again = fuzz("replay", kept, *planted)
    assert again.returncode == 1
    assert f"finding='{finding}'" in again.stderr
    mended = fuzz("replay", kept)
    assert mended.returncode == 0, mended.stderr
