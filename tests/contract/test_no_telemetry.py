"""ONNX Runtime counts nothing for its maker, whichever package loads it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

MODEL = Path(__file__).parents[2] / "model_repository" / "camera-motion" / "1" / "model.onnx"
PROGRAM = "import sys; from {package}.onnx_runtime import ort; ort.InferenceSession(sys.argv[1])"


@pytest.mark.parametrize("package", ["laps_server", "laps_export"])
def test_a_session_leaves_no_counts(package: str, tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if name != "CI" and not name.startswith("ORT_")}
    # Where a service for continuous integration says that it is one, nothing is counted anyway.
    others = ("GITHUB_", "GITLAB_", "JENKINS_", "TF_BUILD", "BUILD_", "TRAVIS", "CIRCLECI")
    env = {name: value for name, value in kept.items() if not name.startswith(others)}
    command = [sys.executable, "-c", PROGRAM.format(package=package), str(MODEL)]
    subprocess.run(command, env={**env, "HOME": str(tmp_path), "TMPDIR": str(tmp_path)}, check=True)
    assert list(tmp_path.rglob("*")) == []
