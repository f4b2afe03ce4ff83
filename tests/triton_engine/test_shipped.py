"""The models in the box, served by a real Triton behind a gateway: the same answers as in process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.live_servers import ServerProcess, running_server
from support.real_triton import Triton, running_triton, write_twin

ROOT = Path(__file__).parents[2]
REPOSITORY = ROOT / "model_repository"
CLIP = ROOT / "examples" / "pan-then-zoom.mp4"
MODELS = ("camera-motion", "camera-motion-base2d")
TOLERANCE = 1e-4  # of a probability; answers are rounded to six digits


def answer(server: ServerProcess, model: str) -> dict[str, Any]:
    response = httpx.post(
        f"{server.url}/classify", params={"model": model, "top_k": 10}, content=CLIP.read_bytes(), timeout=60
    )
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def scores(body: dict[str, Any]) -> dict[str, float]:
    """Of the video and of each of its frames, by label."""
    found = {item["label"]: item["score"] for item in body["predictions"]}
    frames = body["frames"]
    for index, row in zip(frames["index"], frames["scores"], strict=True):
        found |= {f"{index} {label}": score for label, score in zip(frames["labels"], row, strict=True)}
    return found


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triton]:
    root = tmp_path_factory.mktemp("shipped")
    for name in MODELS:
        write_twin(REPOSITORY / name, root / "triton")
    with running_triton(root / "triton", root / "log") as triton:
        yield triton


@pytest.fixture(scope="module")
def expected() -> dict[str, dict[str, Any]]:
    """Each model's answer by the server alone."""
    with running_server(REPOSITORY, env={"LAPS_ENGINE": "ort", "LAPS_PRECISION": "float32"}) as alone:
        return {name: answer(alone, name) for name in MODELS}


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_answers_are_those_of_the_server_alone(
    triton: Triton, expected: dict[str, dict[str, Any]], scheme: str
) -> None:
    env = {"LAPS_ENGINE": "triton", "LAPS_TRITON_URL": triton.url(scheme)}
    with running_server(REPOSITORY, env=env) as gateway:
        for name, alone in expected.items():
            found = answer(gateway, name)
            assert found["predictions"][0]["label"] == alone["predictions"][0]["label"]
            assert scores(found) == pytest.approx(scores(alone), abs=TOLERANCE)
            assert found["model"] == {**alone["model"], "engine": "triton"}
            assert found["views"] == alone["views"]
        assert gateway.stop() == 0
