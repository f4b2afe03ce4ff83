"""Triton killed, restarted, stalled and out of reach under a gateway with real requests."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import pytest

from laps_server.errors import BackendTimeout, BackendUnavailable
from support.dying_connections import Middle
from support.live_servers import ServerProcess, running_server
from support.plain_videos import RED, write_colour_video
from support.real_triton import FRAMES, SIZE, StartedEngine, Triton, running_triton, write_shipped_model, write_twin

CLIENTS = 4
RESUME_S = 5.0


@pytest.fixture
def video(tmp_path: Path) -> bytes:
    return write_colour_video(tmp_path / "red.mp4", [RED] * 20).read_bytes()


@contextmanager
def gateway(repository: Path, url: str, **settings: str) -> Iterator[ServerProcess]:
    env = {f"LAPS_{name.upper()}": value for name, value in settings.items()}
    with running_server(repository, env={"LAPS_ENGINE": "triton", "LAPS_TRITON_URL": url, **env}) as server:
        yield server


def classify(server: ServerProcess, video: bytes, **query: object) -> httpx.Response:
    return httpx.post(f"{server.url}/classify", params=dict(query), content=video, timeout=30)  # type: ignore[arg-type]


@dataclass
class Load:
    """Clients that post one request after the other, and when each was answered, with what, after how long."""

    server: ServerProcess
    video: bytes
    answers: list[tuple[float, int, str, float]] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self.stopped.is_set():
            began = time.monotonic()
            response = classify(self.server, self.video)
            body = response.json()
            said = "" if response.status_code == 200 else body["error"]["code"]
            if response.status_code == 503:
                assert int(response.headers["retry-after"]) >= 1
            now = time.monotonic()
            self.answers.append((now, response.status_code, said, now - began))
            if response.status_code != 200:
                time.sleep(0.1)

    def wait_for(self, status: int, *, timeout_s: float) -> float:
        """When the next such answer came."""
        since, deadline = len(self.answers), time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            for now, found, _, _ in self.answers[since:]:
                if found == status:
                    return now
            time.sleep(0.02)
        raise AssertionError(f"no {status} within {timeout_s} s: {self.answers[since:]}")


@contextmanager
def load(server: ServerProcess, video: bytes) -> Iterator[Load]:
    clients = Load(server, video)
    with ThreadPoolExecutor(CLIENTS) as pool:
        running = [pool.submit(clients.run) for _ in range(CLIENTS)]
        try:
            yield clients
        finally:
            clients.stopped.set()
        for client in running:
            client.result(60)


@pytest.mark.parametrize(("scheme", "shared_memory"), [("grpc", "on"), ("grpc", "off"), ("http", "on")])
def test_triton_killed_and_restarted_under_load(
    repository: Path, triton: Triton, video: bytes, scheme: str, shared_memory: str
) -> None:
    with gateway(repository, triton.url(scheme), triton_shared_memory=shared_memory) as server:
        with load(server, video) as clients:
            clients.wait_for(200, timeout_s=30)
            triton.kill()
            clients.wait_for(503, timeout_s=10)
            time.sleep(1.5)
            ready = httpx.get(f"{server.url}/readyz")
            assert (ready.status_code, "cannot be reached" in ready.json()["reason"]) == (503, True)
            assert httpx.get(f"{server.url}/livez").status_code == 200
            open_at = time.monotonic()
            triton.start()
            ready_at = time.monotonic()
            resumed_at = clients.wait_for(200, timeout_s=30)
            assert resumed_at - ready_at < RESUME_S
        down = [(said, took) for now, status, said, took in clients.answers if status != 200 and now > open_at]
        assert {said for said, _ in down} == {"backend_unavailable"}
        assert max(took for _, took in down) < 5, "an open breaker answers at once"
        assert {status for _, status, _, _ in clients.answers} == {200, 503}
        assert httpx.get(f"{server.url}/readyz").status_code == 200
        assert server.stop() == 0


async def test_another_model_of_tritons_that_breaks_is_not_ours(
    repository: Path, twin: Path, tmp_path: Path, engine_of: StartedEngine
) -> None:
    other = write_twin(write_shipped_model(tmp_path / "other", "others"), twin.parents[1])
    (other / "model.py").write_text("raise RuntimeError('broken')")
    with running_triton(twin.parents[1], tmp_path / "log", "--exit-on-error=false", ready=False) as triton:
        async with engine_of(triton.grpc_url, start_timeout_s=20) as engine:
            assert httpx.get(f"{triton.http_url}/v2/health/ready").status_code != 200, "not all of its models are ready"
            await asyncio.sleep(2.5)
            assert engine.unavailable_reason is None
            assert len((await engine.infer(np.zeros((1, FRAMES, SIZE, SIZE, 3), np.uint8))).logits) == 1


@pytest.mark.parametrize("scheme", ["grpc", "http"])
async def test_a_connection_that_died_without_a_word_is_made_anew(
    triton: Triton, engine_of: StartedEngine, scheme: str
) -> None:
    middle = Middle(triton.grpc_port if scheme == "grpc" else triton.http_port)
    url = f"{scheme}://127.0.0.1:{await middle.start()}"
    clips = np.zeros((1, FRAMES, SIZE, SIZE, 3), np.uint8)
    try:
        async with engine_of(url, timeout_s=2) as engine:
            assert len((await engine.infer(clips)).logits) == 1
            middle.lose_connections()
            lost = time.monotonic()
            while True:
                try:
                    assert len((await engine.infer(clips)).logits) == 1
                    break
                except (BackendTimeout, BackendUnavailable):
                    assert time.monotonic() - lost < 15
                    await asyncio.sleep(0.1)
    finally:
        await middle.close()


def test_a_client_that_goes_away_takes_its_views_with_it(
    repository: Path, triton: Triton, twin: Path, video: bytes
) -> None:
    with gateway(repository, triton.grpc_url, max_batch_views="2") as server:
        (twin / "delay_s").write_text("1")
        before = len((twin / "batches").read_text().splitlines())
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{server.url}/classify", params={"views": "10x3"}, content=video, timeout=2.5)
        (twin / "delay_s").unlink()
        assert classify(server, video, views="1x1").status_code == 200
        run = [sum(map(int, line.split())) for line in (twin / "batches").read_text().splitlines()[before:]]
        assert sum(run) < 12, f"of 30 views that nobody wants, and one: {run}"


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_a_stalled_triton_is_504_in_time_and_the_gateway_recovers(
    repository: Path, triton: Triton, video: bytes, scheme: str
) -> None:
    with gateway(repository, triton.url(scheme), triton_timeout_s="2") as server:
        assert classify(server, video).status_code == 200
        triton.stall()
        with ThreadPoolExecutor(2) as pool:
            began = time.monotonic()
            hasty = pool.submit(classify, server, video, deadline_ms=1000)
            patient = pool.submit(classify, server, video)
            assert (hasty.result().status_code, hasty.result().json()["error"]["code"]) == (504, "deadline_exceeded")
            assert time.monotonic() - began < 3
            answer = patient.result()
            assert (answer.status_code, answer.json()["error"]["code"]) == (504, "backend_timeout")
            assert time.monotonic() - began < 6
        deadline = time.monotonic() + 20
        while httpx.get(f"{server.url}/readyz").status_code == 200:
            assert time.monotonic() < deadline, "readiness does not follow a stalled Triton"
            time.sleep(0.1)
        began = time.monotonic()
        refused = classify(server, video)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "backend_unavailable")
        assert time.monotonic() - began < 1.5
        triton.resume()
        resumed = time.monotonic()
        while classify(server, video).status_code != 200:
            assert time.monotonic() - resumed < RESUME_S + 2
            time.sleep(0.1)
        assert server.stop() == 0
