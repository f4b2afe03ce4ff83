"""The app behind Ray's proxy, without Ray: what is refused there, and what is left to the proxy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from laps_server.api.app import create_app
from laps_server.api.proxied_app import ProxiedApp
from laps_server.metrics import Metrics
from laps_server.runtime import build_runtime
from laps_server.settings import Settings
from support.model_repositories import write_model
from support.plain_videos import GREEN, RED, write_colour_video

MOST = 100_000


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
async def client(tmp_path: Path, metrics: Metrics) -> AsyncIterator[httpx.AsyncClient]:
    write_model(tmp_path / "models", "colours")
    settings = Settings(model_repository=(tmp_path / "models",), decode="thread", engine="ort", precision="float32")
    runtime = build_runtime(settings, observer=metrics)
    app = create_app(runtime, settings, metrics=metrics)

    async def before_shutdown() -> None:
        pass

    await runtime.start()
    proxied = ProxiedApp(app, max_upload_bytes=MOST, before_shutdown=before_shutdown)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(proxied), base_url="http://proxy") as client:
        yield client
    await runtime.close()


async def test_a_request_that_ray_gives_up_frees_its_place_and_counts_as_the_clients(
    client: httpx.AsyncClient, metrics: Metrics
) -> None:
    async def never_ending() -> AsyncIterator[bytes]:
        yield b"video"
        await asyncio.Event().wait()

    asked = asyncio.create_task(client.post("/classify", content=never_ending()))
    while "laps_requests_in_flight 1.0" not in metrics.exposition().decode():
        await asyncio.sleep(0.01)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    counted = metrics.exposition().decode()
    assert "laps_requests_in_flight 0.0" in counted
    assert 'code="client_closed",method="POST",route="/classify",status="499"} 1.0' in counted


async def test_a_video_within_the_limit_is_answered(client: httpx.AsyncClient, tmp_path: Path) -> None:
    video = write_colour_video(tmp_path / "clip.mp4", [RED, GREEN] * 10).read_bytes()
    assert len(video) < MOST
    answer = await client.post("/classify", content=video, headers={"X-Request-ID": "mine"})
    assert answer.status_code == 200
    assert answer.json()["request_id"] == "mine"
    assert "x-request-id" not in answer.headers, "the proxy adds it"


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "chunked"])
async def test_a_larger_upload_is_told_the_direct_way(client: httpx.AsyncClient, declared: bool) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield bytes(MOST // 10)

    content = bytes(4 * MOST) if declared else chunks()
    answer = await client.post("/classify", content=content, headers={"X-Request-ID": "mine"})
    assert answer.status_code == 413
    error = answer.json()["error"]
    assert error["code"] == "too_large"
    assert f"{MOST} bytes" in error["message"]
    assert "/replicas" in error["hint"]
    assert "connection" not in answer.headers, "the proxy reads on, and its connection may stay"


@pytest.mark.parametrize("path", ["/metrics", "/admin/reload"])
async def test_what_is_of_one_replica_is_not_told_of_any(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path, headers={"X-Request-ID": "mine"})
    assert answer.status_code == 404
    error = answer.json()["error"]
    assert (error["code"], error["request_id"]) == ("not_found", "mine")
    assert "/replicas" in error["hint"]
