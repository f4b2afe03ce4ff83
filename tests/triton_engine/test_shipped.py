"""The models in the box, served by a real Triton behind a gateway: the same answers as in process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from support.live_servers import ServerProcess, running_server
from support.real_triton import running_triton, write_twin

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


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_answers_are_those_of_the_server_alone(tmp_path: Path, scheme: str) -> None:
    for name in MODELS:
        write_twin(REPOSITORY / name, tmp_path / "triton")
    with running_triton(tmp_path / "triton", tmp_path / "log") as triton:
        env = {"LAPS_ENGINE": "triton", "LAPS_TRITON_URL": triton.url(scheme)}
        with running_server(REPOSITORY) as alone, running_server(REPOSITORY, env=env) as gateway:
            for name in MODELS:
                expected, found = answer(alone, name), answer(gateway, name)
                assert found["predictions"][0]["label"] == expected["predictions"][0]["label"]
                assert scores(found) == pytest.approx(scores(expected), abs=TOLERANCE)
                assert (found["model"], found["views"]) == (expected["model"], expected["views"])
            assert gateway.stop() == 0
