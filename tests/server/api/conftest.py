"""One server for all tests of the routes and of uploads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from support.classify_requests import MAX_UPLOAD_BYTES
from support.live_servers import ServerProcess, running_server
from support.model_repositories import write_model
from support.plain_videos import BLUE, RED, write_colour_video


@pytest.fixture(scope="package")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("classify")


@pytest.fixture(scope="package")
def server(folder: Path) -> Iterator[ServerProcess]:
    write_model(folder / "models", "colours")
    write_model(folder / "models", "untrained", untrained=True)
    write_model(folder / "models", "whole", kind="per_clip")
    write_model(
        folder / "models", "steps", kind="per_step", steps=[(0, 1), (2, 3)], embedding=True, average="probabilities"
    )
    measured = {
        **{"engine": "ort", "instruction_set": "avx2", "views": 9, "labels": 4},
        **{"agreement": 1.0, "mean_shift": 0.0, "p99_shift": 0.0, "holds": False},
    }
    parity = {"max_abs_diff": 0.0, "tolerance": 0.001, "batch_sizes": [1]}
    write_model(
        folder / "models",
        "ordered",
        sampling="uniform_in_order",
        precisions={"float32": {"file": "model.onnx", "parity": parity, "engines": [measured]}},
    )
    env = {"LAPS_MAX_UPLOAD_BYTES": str(MAX_UPLOAD_BYTES), "LAPS_UPLOAD_IDLE_TIMEOUT_S": "1"}
    with running_server(folder / "models", env=env) as server:
        yield server


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For servers that a test starts itself."""
    folder = tmp_path_factory.mktemp("models")
    write_model(folder, "colours")
    return folder


@pytest.fixture(scope="package")
def client(server: ServerProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=30) as client:
        yield client


@pytest.fixture(scope="package")
def video(folder: Path) -> Path:
    return write_colour_video(folder / "clip.mp4", [RED] * 12 + [BLUE] * 8)


@pytest.fixture
def log(server: ServerProcess) -> list[str]:
    return server.log
