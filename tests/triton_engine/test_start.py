"""What a gateway refuses to start on, and what it waits for."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path

import httpx
import numpy as np
import pytest

from laps_server.errors import BackendMismatch, BackendUnavailable
from support.live_servers import running_server
from support.model_repositories import colour_graph
from support.plain_videos import RED, write_colour_video
from support.real_triton import (
    FRAMES,
    SIZE,
    StartedEngine,
    Triton,
    own_blocks,
    running_triton,
    write_shipped_model,
    write_twin,
)


def replace_in(config: Path, old: str, new: str) -> None:
    text = config.read_text()
    assert old in text
    config.write_text(text.replace(old, new))


@pytest.mark.parametrize("scheme", ["grpc", "http"])
async def test_everything_that_differs_is_named(
    repository: Path, tmp_path: Path, engine_of: StartedEngine, scheme: str
) -> None:
    other = write_shipped_model(tmp_path / "other", labels=["a", "b", "c"])
    replace_in(other / "config.pbtxt", '"clips"', '"pictures"')
    graph = colour_graph(frames=FRAMES, size=SIZE, classes=3)
    graph.graph.input[0].name = graph.graph.node[0].input[0] = "pictures"
    (other / "1" / "model.onnx").write_bytes(graph.SerializeToString())
    write_twin(other, tmp_path / "triton")
    with running_triton(tmp_path / "triton", tmp_path / "log") as triton, pytest.raises(BackendMismatch) as caught:
        async with engine_of(triton.url(scheme)):
            pass
    message = caught.value.message
    assert "its input is 'pictures' UINT8 [-1, 4, 32, 32, 3] and not 'clips' UINT8 [-1, 4, 32, 32, 3]" in message
    assert "its output is 'frame_logits' FP32 [-1, 4, 3] and not 'frame_logits' FP32 [-1, 4, 4]" in message
    assert "it gives 3 logits for 4 labels" in message


@pytest.mark.parametrize("scheme", ["grpc", "http"])
async def test_a_model_that_triton_does_not_have_is_named(
    tmp_path: Path, engine_of: StartedEngine, scheme: str
) -> None:
    write_twin(write_shipped_model(tmp_path / "other", "others"), tmp_path / "triton")
    with running_triton(tmp_path / "triton", tmp_path / "log") as triton:
        starting = engine_of(triton.url(scheme))
        with pytest.raises(BackendMismatch, match="does not serve 'colours' version 1"):
            await starting.__aenter__()


async def test_batches_that_triton_would_refuse_for_their_size_are_refused_at_start(
    twin: Path, triton: Triton, engine_of: StartedEngine
) -> None:
    with pytest.raises(BackendMismatch, match="at most 16 views of 'colours' in a batch, not 32"):
        async with engine_of(triton.grpc_url, batch_sizes=(1, 32)):
            pass


async def test_a_start_waits_for_triton_and_not_for_ever(twin: Path, tmp_path: Path, engine_of: StartedEngine) -> None:
    with running_triton(twin.parents[1], tmp_path / "log") as triton:
        triton.kill()
        began = time.monotonic()
        with pytest.raises(BackendUnavailable, match="cannot be reached"):
            async with engine_of(triton.grpc_url, start_timeout_s=1):
                pass
        assert time.monotonic() - began < 10

        async def start() -> None:
            async with engine_of(triton.grpc_url) as engine:
                assert len((await engine.infer(np.zeros((1, FRAMES, SIZE, SIZE, 3), np.uint8))).logits) == 1

        starting = asyncio.create_task(start())
        await asyncio.sleep(1.5)
        assert not starting.done()
        await asyncio.to_thread(triton.start)
        await asyncio.wait_for(starting, 20)


def test_a_gateway_with_the_wrong_model_behind_it_ends_and_says_why(repository: Path, tmp_path: Path) -> None:
    write_twin(write_shipped_model(tmp_path / "other", labels=["a", "b", "c"]), tmp_path / "triton")
    with running_triton(tmp_path / "triton", tmp_path / "log") as triton:
        env = {"LAPS_ENGINE": "triton", "LAPS_TRITON_URL": triton.grpc_url}
        with running_server(repository, ready=False, env=env) as server:
            said = server.wait_for(re.compile("models cannot be served: (.*)"))
            assert server.process.wait(60) == 1
        assert own_blocks() == set()
    assert "3 logits for 4 labels" in said[1]


@pytest.mark.parametrize("scheme", ["grpc", "http"])
async def test_where_triton_allows_no_shared_memory_clips_go_over_the_wire(
    twin: Path, tmp_path: Path, engine_of: StartedEngine, scheme: str
) -> None:
    options = ("--grpc-restricted-protocol=shared-memory:key=x", "--http-restricted-api=shared-memory:key=x")
    with running_triton(twin.parents[1], tmp_path / "log", *options) as triton:
        async with engine_of(triton.url(scheme), start_timeout_s=5) as engine:
            assert len((await engine.infer(np.zeros((1, FRAMES, SIZE, SIZE, 3), np.uint8))).logits) == 1
            assert own_blocks() == set()
        with pytest.raises(BackendMismatch, match="cannot open shared memory"):
            async with engine_of(triton.url(scheme), start_timeout_s=5, shared_memory="on"):
                pass
    assert own_blocks() == set()


def test_a_gateway_waits_for_triton_alive_and_not_ready(repository: Path, twin: Path, tmp_path: Path) -> None:
    video = write_colour_video(tmp_path / "red.mp4", [RED] * 20)
    with running_triton(twin.parents[1], tmp_path / "log") as triton:
        triton.kill()
        env = {"LAPS_ENGINE": "triton", "LAPS_TRITON_URL": triton.http_url}
        with running_server(repository, ready=False, env=env) as server:
            server.wait_for(re.compile("waiting for Triton"))
            ready = httpx.get(f"{server.url}/readyz")
            assert (ready.status_code, "cannot be reached" in ready.json()["reason"]) == (503, True)
            assert httpx.get(f"{server.url}/livez").status_code == 200
            triton.start()
            server.wait_ready()
            answer = httpx.post(f"{server.url}/classify", content=video.read_bytes(), timeout=60)
            assert answer.json()["predictions"][0]["label"] == "red"
            assert server.stop() == 0
