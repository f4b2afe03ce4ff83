"""The trained Kinetics-400 network from a file to an answer, and against what its package's own network computed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnxruntime as ort
import pytest

from laps_server.video.extract import extract_parts
from laps_server.video.extract_options import ExtractOptions
from laps_server.video.limits import MediaLimits
from laps_server.video.preprocess import assemble_clip
from laps_server.view_grid import ViewGrid
from support.golden_videos import golden_video
from support.i3d_archive import i3d_repository
from support.live_servers import ServerProcess, running_server

MODEL = "i3d-kinetics400"
# Logits of each step by the package's own network: the first 64 frames of arm_wrestling.mp4, short side 256.
GOLDEN = Path(__file__).parents[1] / "data" / "i3d_trained.npz"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return i3d_repository(tmp_path_factory.mktemp("kinetics") / "models")


@pytest.fixture(scope="module")
def server(repository: Path) -> Iterator[ServerProcess]:
    with running_server(repository) as server:
        yield server


@pytest.fixture(scope="module")
def answer(server: ServerProcess) -> dict[str, Any]:
    video = golden_video("arm_wrestling")
    with video.open("rb") as file:
        asked = {"embedding": "true"}
        response = httpx.post(f"{server.url}/classify", params=asked, files={"file": file}, timeout=300)
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def test_two_people_who_wrestle_with_their_arms(answer: dict[str, Any]) -> None:
    assert answer["model"] == {"name": MODEL, "version": 1, "engine": "ort", "precision": "float32"}
    assert answer["predictions"][0]["label"] == "arm wrestling"
    assert answer["predictions"][0]["score"] > 0.99
    assert answer["agreement"] == 1.0
    assert answer["margin"] > 0.99
    assert answer["warnings"] == []


def test_its_curve_has_a_row_for_every_step(answer: dict[str, Any]) -> None:
    frames = answer["frames"]
    assert frames["kind"] == "step"
    views = answer["views"]["temporal"]
    assert len(frames["scores"]) == 7 * views
    # Sixteen pictures at 25 a second.
    for begin, end in zip(frames["from_s"], frames["to_s"], strict=True):
        assert end - begin == pytest.approx(0.6, abs=0.05)
    assert frames["time_s"] == sorted(frames["time_s"])
    wrestling = [row[frames["labels"].index("arm wrestling")] for row in frames["scores"]]
    # For one step the file's pictures are damaged.
    assert sum(score > 0.99 for score in wrestling) >= len(wrestling) - 1


def test_its_embedding_is_of_length_one(answer: dict[str, Any]) -> None:
    assert len(answer["embedding"]) == 1024
    assert np.linalg.norm(answer["embedding"]) == pytest.approx(1, abs=1e-5)


def test_pictures_and_graph_give_the_logits_of_the_packages_network(repository: Path) -> None:
    options = ExtractOptions(
        grid=ViewGrid(1, 1),
        frames=64,
        stride=1,
        short_side=256,
        crop_height=224,
        crop_width=224,
        sampling="laps_uniform",  # of one clip: frames 0 to 63, as the golden has them
    )
    with golden_video("arm_wrestling").open("rb") as file:
        (part,) = extract_parts(file.fileno(), options, limits=MediaLimits())
    clip = assemble_clip(part, 0)
    with np.load(GOLDEN) as golden:
        expected = golden["arm_wrestling_64x1_256/step_logits"]
        means = golden["arm_wrestling_64x1_256/input_frame_mean"]
    np.testing.assert_allclose(clip.mean(axis=(1, 2, 3)) / 127.5 - 1, means, rtol=0, atol=1e-6)
    session = ort.InferenceSession(repository / MODEL / "1" / "model.onnx", providers=["CPUExecutionProvider"])
    logits = session.run(["frame_logits"], {"clips": clip[None]})[0][0]
    assert np.abs(logits - expected).max() < 1e-3
