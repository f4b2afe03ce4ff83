"""Shared memory with a real Triton: nothing stays, however a gateway ends."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest

from laps_server.engines.choices import SharedMemoryMode
from laps_server.engines.triton.wire import connect
from support.live_servers import running_server
from support.plain_videos import RED, write_colour_video
from support.real_triton import FRAMES, SIZE, StartedEngine, Triton, own_blocks


async def regions(triton: Triton) -> set[str]:
    wire = connect(triton.grpc_url)
    try:
        return await wire.regions(timeout_s=5)
    finally:
        await wire.close()


@pytest.mark.parametrize("scheme", ["grpc", "http"])
async def test_a_stopped_gateway_leaves_nothing(repository: Path, triton: Triton, tmp_path: Path, scheme: str) -> None:
    video = write_colour_video(tmp_path / "red.mp4", [RED] * 20).read_bytes()
    env = {"LAPS_ENGINE": "triton", "LAPS_TRITON_URL": triton.url(scheme)}
    with running_server(repository, env=env) as server:
        server.wait_for(re.compile("in shared memory"))
        assert httpx.post(f"{server.url}/classify", content=video, timeout=60).status_code == 200
        assert len(own_blocks()) == 1
        assert await regions(triton) == own_blocks()
        assert server.stop() == 0
    assert (own_blocks(), await regions(triton)) == (set(), set())


async def test_what_a_killed_gateway_left_is_gone_with_the_next_ones_start(repository: Path, triton: Triton) -> None:
    env = {"LAPS_ENGINE": "triton", "LAPS_TRITON_URL": triton.grpc_url}
    with running_server(repository, env=env) as living, running_server(repository, env=env) as server:
        assert len(await regions(triton)) == 2
        server.stop(signal.SIGKILL)
        left = own_blocks()
        assert len(left) == 2
        assert await regions(triton) == left
        with running_server(repository, env=env) as following:
            assert len(own_blocks()) == 2, "the dead one's is gone, the living one's is not"
            assert await regions(triton) == own_blocks()
            assert own_blocks() != left
            assert following.stop() == 0
        assert living.stop() == 0
    assert (own_blocks(), await regions(triton)) == (set(), set())


@pytest.mark.parametrize("scheme", ["grpc", "http"])
async def test_what_triton_reads_for_a_killed_gateway_is_gone_once_it_has_read_it(
    repository: Path, triton: Triton, twin: Path, tmp_path: Path, scheme: str
) -> None:
    video = write_colour_video(tmp_path / "red.mp4", [RED] * 40).read_bytes()
    env = {"LAPS_ENGINE": "triton", "LAPS_TRITON_URL": triton.url(scheme), "LAPS_TRITON_SHARED_MEMORY": "on"}
    with running_server(repository, env=env) as killed, ThreadPoolExecutor(1) as pool:
        (twin / "hold").touch()
        before = (twin / "batches").read_text()
        lost = pool.submit(httpx.post, f"{killed.url}/classify", params={"views": "16x1"}, content=video, timeout=60)
        await until(lambda: (twin / "batches").read_text() != before)
        killed.stop(signal.SIGKILL)
        with pytest.raises(httpx.TransportError):
            lost.result(60)
    (left,) = own_blocks()
    with running_server(repository, ready=False, env=env) as following:
        following.wait_for(re.compile("in shared memory"))
        assert left in own_blocks(), "Triton reads it, and its file is what it is known by"
        assert left in await regions(triton)
        (twin / "hold").unlink()
        following.wait_ready()
        await until(lambda: left not in own_blocks())
        assert await regions(triton) == own_blocks()
        assert len(own_blocks()) == 1, "the living one's"
        answer = httpx.post(f"{following.url}/classify", params={"views": "16x1"}, content=video, timeout=60)
        assert answer.json()["predictions"][0]["label"] == "red"
        assert following.stop() == 0
    assert (own_blocks(), await regions(triton)) == (set(), set())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.05)


async def test_a_start_that_fails_leaves_nothing(repository: Path, triton: Triton, engine_of: StartedEngine) -> None:
    with pytest.raises(Exception, match="not 32"):
        async with engine_of(triton.grpc_url, shared_memory="on", batch_sizes=(32,)):
            pass
    assert (own_blocks(), await regions(triton)) == (set(), set())


@pytest.mark.parametrize("asked", ["auto", "on"])
async def test_memory_that_does_not_fit_is_told_at_start(
    triton: Triton, engine_of: StartedEngine, monkeypatch: pytest.MonkeyPatch, asked: SharedMemoryMode
) -> None:
    def no_space(_descriptor: int, _offset: int, size: int) -> None:
        raise OSError(28, f"No space left for {size} bytes")

    monkeypatch.setattr("os.posix_fallocate", no_space)
    clips = np.zeros((1, FRAMES, SIZE, SIZE, 3), np.uint8)
    if asked == "auto":
        async with engine_of(triton.grpc_url, shared_memory=asked) as engine:
            assert len((await engine.infer(clips)).logits) == 1
    else:
        with pytest.raises(Exception, match="bytes of shared memory"):
            async with engine_of(triton.grpc_url, shared_memory=asked):
                pass
    assert own_blocks() == set()
