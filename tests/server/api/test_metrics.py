"""``/metrics`` of a real server, read as Prometheus reads it."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from laps_server.engines.fake import FakeEngine
from laps_server.metrics import Metrics
from laps_server.models.repository import discover
from laps_server.observe import DecoderEnd, Failed, Loaded, Queued, Shadowed
from laps_server.runtime import Runtime
from laps_server.scheduler import Scheduler
from laps_server.served_models import ServedModel, ServedModels
from laps_server.video.decode_pool import DecodePool
from laps_server.video.sandbox.options import IS_AVAILABLE
from support.error_tree import TREE
from support.live_servers import ServerProcess, running_server
from support.model_repositories import write_model
from support.plain_videos import RED, write_colour_video
from support.server_traces import decoders_of

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("metrics")
    write_model(folder / "models", "colours")
    write_model(folder / "models", "other")
    write_colour_video(folder / "clip.mp4", [RED] * 20)
    return folder


@pytest.fixture
def server(folder: Path) -> Iterator[ServerProcess]:
    with running_server(folder / "models", env={"LAPS_MAX_UPLOAD_BYTES": "200000"}) as server:
        yield server


def scraped(server: ServerProcess) -> Samples:
    answer = httpx.get(f"{server.url}/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return parsed(answer.text)


def scraped_after(server: ServerProcess, requests: int) -> Samples:
    """Once so many requests to classify are counted: that is so a moment after their clients have their answers."""
    deadline = time.monotonic() + 10
    while value(found := scraped(server), "laps_http_request_seconds_count", route="/classify") < requests:
        assert time.monotonic() < deadline
    return found


def parsed(text: str) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    """The sum over all labels that are not named."""
    wanted = set(labels.items())
    return sum(number for (found, has), number in samples.items() if found == name and wanted <= has)


def test_requests_stages_and_batches_are_counted(server: ServerProcess, folder: Path) -> None:
    before = scraped(server)
    assert value(before, "laps_requests_total", model="colours", version="1", outcome="ok") == 0
    assert ("laps_requests_total", frozenset({("model", "other"), ("version", "1"), ("outcome", "ok")})) in before
    video = (folder / "clip.mp4").read_bytes()
    for _ in range(3):
        body = httpx.post(f"{server.url}/classify?model=colours", content=video).json()
    views = body["views"]["used"]
    assert httpx.post(f"{server.url}/classify?model=colours", content=b"no video").status_code == 415
    assert httpx.post(f"{server.url}/classify?model=colours", content=b"x" * 300_000).status_code == 413
    events = {"accept": "text/event-stream"}
    httpx.post(f"{server.url}/classify?model=colours", content=b"no video", headers=events)
    after = scraped_after(server, 6)
    of_model = {"model": "colours", "version": "1"}
    assert value(after, "laps_requests_total", **of_model, outcome="ok") == 3
    assert value(after, "laps_requests_total", **of_model, outcome="unsupported_container") == 2
    assert value(after, "laps_stage_seconds_count", **of_model, stage="queue") == 3 * views
    assert value(after, "laps_stage_seconds_count", **of_model, stage="total") == 6
    parts = value(after, "laps_stage_seconds_count", **of_model, stage="decode")
    assert value(after, "laps_stage_seconds_count", **of_model, stage="wait") == parts >= 3
    assert value(after, "laps_stage_seconds_sum", **of_model, stage="decode") > 0
    assert value(after, "laps_stage_seconds_sum", **of_model, stage="infer") > 0
    decoded_s = value(after, "laps_stage_seconds_sum", **of_model, stage="decode")
    ratios = value(after, "laps_decode_seconds_per_video_second_sum", **of_model)
    assert value(after, "laps_decode_seconds_per_video_second_count", **of_model) == 3
    assert ratios == pytest.approx(decoded_s / body["video"]["duration_s"])
    batches = value(after, "laps_batch_views_count", **of_model)
    assert value(after, "laps_batch_views_sum", **of_model) == 3 * views
    assert value(after, "laps_stage_seconds_count", **of_model, stage="infer") == batches > 0
    assert value(after, "laps_video_seconds_total", **of_model) == pytest.approx(3 * body["video"]["duration_s"])
    assert value(after, "laps_upload_bytes_total", **of_model) == 3 * len(video) + 2 * len(b"no video")
    assert value(after, "laps_requests_total", model="other") == 0
    classify = {"route": "/classify", "method": "POST"}
    assert value(after, "laps_http_request_seconds_count", **classify, status="200", code="ok") == 3
    for status in ("415", "200"):  # of a stream the status was sent long before
        failed = {"status": status, "code": "unsupported_container"}
        assert value(after, "laps_http_request_seconds_count", **classify, **failed) == 1
    assert value(after, "laps_http_request_seconds_count", **classify, status="413", code="too_large") == 1


def test_what_is_true_now(server: ServerProcess) -> None:
    samples = scraped(server)
    assert value(samples, "laps_ready") == 1
    assert value(samples, "laps_engine_up", model="colours", version="1") == 1
    assert value(samples, "laps_queue_views") == 0
    assert value(samples, "laps_model_info", model="colours", version="1", engine="ort", precision="float32") == 1
    assert value(samples, "laps_requests_in_flight_max") == 64
    assert value(samples, "process_resident_memory_bytes") > 1e7
    assert 0 < value(samples, "process_open_fds") < value(samples, "process_max_fds")
    assert value(samples, "process_cpu_seconds_total") > 0


@pytest.mark.skipif(not IS_AVAILABLE, reason="only Linux has the sandbox")
def test_decoders_that_die_are_counted(server: ServerProcess, folder: Path) -> None:
    before = scraped(server)
    decoders = decoders_of(server)
    assert value(before, "laps_decoders") == value(before, "laps_decoders_started_total") == len(decoders) > 0
    reasons = {dict(labels)["reason"] for name, labels in before if name == "laps_decoders_ended_total"}
    assert reasons == set(get_args(DecoderEnd))
    assert value(before, "laps_decoders_ended_total") == 0
    for decoder in decoders:
        os.kill(decoder, signal.SIGKILL)
    while value(scraped(server), "laps_decoders"):
        time.sleep(0.01)
    assert httpx.post(f"{server.url}/classify", content=(folder / "clip.mp4").read_bytes()).status_code == 200
    after = scraped(server)
    assert value(after, "laps_decoders_ended_total", reason="crashed") == len(decoders)
    assert value(after, "laps_decoders_started_total") == len(decoders) + 1
    assert value(after, "laps_decoders") == 1


def test_slots_and_who_got_none(folder: Path) -> None:
    with running_server(folder / "models", env={"LAPS_MAX_REQUESTS": "1"}) as server:
        address = httpx.URL(server.url)
        with socket.create_connection((address.host, address.port or 0)) as slow:
            slow.sendall(b"POST /classify HTTP/1.1\r\nHost: here\r\nContent-Length: 9\r\n\r\n")
            while not value(scraped(server), "laps_requests_in_flight"):
                time.sleep(0.01)
            assert httpx.post(f"{server.url}/classify", content=b"x").status_code == 503
        refused = {"route": "/classify", "method": "POST", "status": "503", "code": "overloaded"}
        deadline = time.monotonic() + 30
        while (
            value(samples := scraped(server), "laps_requests_in_flight")
            or value(samples, "laps_http_request_seconds_count", **refused) != 1
        ):
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert value(samples, "laps_requests_total", outcome="client_closed") == 1


async def test_a_backend_that_is_away_is_seen_for_its_model_alone(folder: Path) -> None:
    up, away = (FakeEngine(clip_shape=(4, 32, 32, 3), classes=4) for _ in range(2))
    away.unavailable_reason = "Triton is not available"
    models = [
        ServedModel(files, Scheduler(engine, batch_sizes=(1,), max_queued_views=8))
        for files, engine in zip(discover(folder / "models", versions="latest"), (up, away), strict=True)
    ]
    metrics = Metrics()
    metrics.watch(Runtime(ServedModels(models, default_model=None), DecodePool(1)), NoSlots())
    samples = parsed(metrics.exposition().decode())
    assert value(samples, "laps_engine_up", model="colours", version="1") == 1
    assert value(samples, "laps_engine_up", model="other", version="1") == 0


def test_versions_that_came_and_went_are_counted_for_a_while(folder: Path) -> None:
    (files,) = (files for files in discover(folder / "models", versions="latest") if files.name == "colours")
    engine = FakeEngine(clip_shape=(4, 32, 32, 3), classes=4)
    served = ServedModel(files, Scheduler(engine, batch_sizes=(1,), max_queued_views=8))
    metrics = Metrics()
    metrics.watch(Runtime(ServedModels([served], default_model=None), DecodePool(1)), NoSlots())
    metrics.observe(Failed("colours/1", "a", 0.1, "video_corrupt"))  # long ago, and it is served still
    sizes = []
    for version in range(2, 102):
        metrics.observe(Loaded(f"colours/{version}", 1.0, None))
        metrics.observe(Queued(f"colours/{version}", "a", 0.1))
        metrics.observe(Shadowed(f"colours/{version}", f"colours/{version - 1}", 0.1, "ok", True, 0.0))
        metrics.observe(Shadowed("colours/1", f"colours/{version}", 0.1, "ok", True, 0.0))
        sizes.append(len(parsed(metrics.exposition().decode())))
    assert sizes[-1] == sizes[50], "series grow with every version that comes"
    samples = parsed(metrics.exposition().decode())
    assert value(samples, "laps_requests_total", version="1", outcome="video_corrupt") == 1
    assert value(samples, "laps_model_loads_total", version="101") == 1, "whoever scrapes next sees it"
    assert value(samples, "laps_model_loads_total", version="90") == 1
    assert value(samples, "laps_model_loads_total", version="50") == 0


class NoSlots:
    active = 0
    max_requests = 0


def test_what_clients_send_is_never_a_label(server: ServerProcess) -> None:
    for number in range(20):
        httpx.get(f"{server.url}/nothing/{number}")
        httpx.get(f"{server.url}/models/none{number}")
        httpx.request(f"METHOD{number}", f"{server.url}/classify")
        httpx.post(f"{server.url}/classify?model=none{number}", content=b"x")
        httpx.post(f"{server.url}/classify?labels=none{number}", content=b"x")
        own = {"x-request-id": f"none{number}", "x-api-key": f"none{number}"}
        httpx.post(f"{server.url}/classify?version={number + 2}", content=b"x", headers=own)
    samples = scraped(server)
    names = {name for name, _ in samples}
    assert "laps_http_request_seconds_count" in names
    sets = [dict(labels) for name, labels in samples if name == "laps_http_request_seconds_count"]
    assert {entry["route"] for entry in sets} <= {"/classify", "/models/{name}", "/readyz", "/metrics", "other"}
    assert {entry["method"] for entry in sets} <= {"GET", "POST", "other"}
    assert {entry["code"] for entry in sets} <= {error.code for error in TREE} | {"ok"}
    assert not any("none" in text for _, labels in samples for _, text in labels)
