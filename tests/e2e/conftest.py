"""One export of the golden weights for all tests from file to answer."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.golden_weights import write_golden_checkpoint


@pytest.fixture(scope="session")
def golden_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository made by the command of the README from a checkpoint in the authors' format."""
    folder = tmp_path_factory.mktemp("golden")
    checkpoint = write_golden_checkpoint(folder / "best_ckpt.pth")
    repository = folder / "models"
    command = f"onnx --checkpoint {checkpoint} --variant laps --labels kinetics400-laps --name laps-k400"
    done = subprocess.run(
        [Path(sys.executable).with_name("laps-export"), *command.split(), "--repository", repository],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert done.returncode == 0, done.stderr
    return repository
