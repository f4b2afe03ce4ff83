"""Traces of a real server, as a collector gets them."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import httpx
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from laps_server.errors import BadParameter
from laps_server.observe import PartDecoded, Ran, wall_ns
from laps_server.serve import serve
from laps_server.settings import Settings
from laps_server.tracing import RequestTrace
from support.live_servers import running_server
from support.model_repositories import write_model
from support.otlp_receiver import OtlpReceiver, otlp_receiver
from support.plain_videos import RED, write_colour_video

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=1"}
STAGES = {"upload", "wait", "decode", "batch", "queue", "infer", "answer"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("traces")
    write_model(home / "models", "colours")
    write_colour_video(home / "clip.mp4", [RED] * 40)
    return home


def to(receiver: OtlpReceiver, **others: str) -> dict[str, str]:
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, **others}


def test_a_request_is_one_trace_with_all_of_its_stages(home: Path) -> None:
    with otlp_receiver() as receiver, running_server(home / "models", env=to(receiver)) as server:
        ask = {**SAMPLED, "x-request-id": "mine"}
        answer = httpx.post(
            f"{server.url}/classify?views=5x3", content=(home / "clip.mp4").read_bytes(), headers=ask, timeout=60
        )
        assert answer.status_code == 200
        httpx.get(f"{server.url}/models")
        assert server.stop() == 0
    assert receiver.resources[0]["service.name"] == "laps-server"
    assert {span.trace_id.hex() for span in receiver.spans} == {TRACE}
    (root,) = [span for span in receiver.spans if span.name == "POST /classify"]
    assert root.parent_span_id.hex() == PARENT
    assert root.trace_state == "vendor=1"
    attributes = {entry.key: entry.value for entry in root.attributes}
    assert attributes["laps.request_id"].string_value == "mine"
    assert attributes["laps.model"].string_value == "colours/1"
    assert attributes["http.response.status_code"].int_value == 200
    stages = [span for span in receiver.spans if span is not root]
    assert {span.name for span in stages} == STAGES
    assert {span.parent_span_id for span in stages} == {root.span_id}
    for span in stages:
        assert root.start_time_unix_nano - 1000 <= span.start_time_unix_nano <= span.end_time_unix_nano, span.name
        assert span.end_time_unix_nano <= root.end_time_unix_nano, span.name
    views = [entry.value.int_value for span in stages if span.name == "infer" for entry in span.attributes]
    assert sum(views) == 15
    order = [
        min(span.start_time_unix_nano for span in stages if span.name == name)
        for name in ("upload", "decode", "infer", "answer")
    ]
    assert order == sorted(order)


def test_opentelemetrys_own_variables_and_the_clients_sampling_hold(home: Path) -> None:
    with otlp_receiver() as receiver:
        env = to(receiver, OTEL_SERVICE_NAME="videos", OTEL_TRACES_SAMPLER="parentbased_always_off")
        with running_server(home / "models", env=env) as server:
            for headers in ({}, {"traceparent": SAMPLED["traceparent"][:-1] + "0"}, SAMPLED):
                httpx.post(f"{server.url}/classify", content=b"no video", headers=headers)
            server.stop()
    assert receiver.resources[0]["service.name"] == "videos"
    (root,) = [span for span in receiver.spans if span.name == "POST /classify"]
    assert root.trace_id.hex() == TRACE
    attributes = {entry.key: entry.value for entry in root.attributes}
    assert attributes["error.type"].string_value == "unsupported_container"
    assert attributes["http.response.status_code"].int_value == 415


def test_a_collector_that_hangs_fails_no_request_and_holds_up_no_stop(home: Path) -> None:
    with otlp_receiver(silent=True) as receiver:
        env = to(
            receiver, OTEL_BSP_SCHEDULE_DELAY="10", OTEL_BSP_MAX_QUEUE_SIZE="8", OTEL_BSP_MAX_EXPORT_BATCH_SIZE="4"
        )
        env["OTEL_EXPORTER_OTLP_TIMEOUT"] = "100000"
        with running_server(home / "models", env=env) as server:
            video = (home / "clip.mp4").read_bytes()
            for _ in range(5):
                assert httpx.post(f"{server.url}/classify", content=video, timeout=60).status_code == 200
            while not receiver.requests:
                time.sleep(0.01)
            assert server.stop() == 0
    assert receiver.spans == []


def test_a_long_film_has_no_more_spans_than_can_be_looked_at() -> None:
    kept = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    tracer = provider.get_tracer("test")
    trace = RequestTrace(tracer, span=tracer.start_span("POST /classify"), began_ns=wall_ns())
    for _ in range(1000):
        trace.observe(PartDecoded(model="m/1", request_id="long", seconds=0.1, frames=8, views=1))
        trace.observe(Ran(model="m/1", request_ids=("long",), seconds=0.1, whole_s=0.1))
    trace.end(status=200, code="internal", at_fault=True, model="m/1")
    *stages, answer, root = kept.get_finished_spans()
    assert len(stages) == 200
    assert (answer.name, root.name) == ("answer", "POST /classify")
    assert root.attributes is not None
    assert root.attributes["laps.stages_left_out"] == 4 * 1000 - 200
    assert root.status.status_code is StatusCode.ERROR


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        pytest.param({}, False, id="nothing"),
        pytest.param({"OTEL_SERVICE_NAME": "videos"}, False, id="no collector"),
        pytest.param({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://here:4318"}, True, id="a collector"),
        pytest.param({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://here:4318"}, True, id="a collector of traces"),
        pytest.param({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False, id="an empty name"),
        pytest.param({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://here", "OTEL_TRACES_EXPORTER": "none"}, False, id="none"),
        pytest.param({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://here", "LAPS_TRACES": "false"}, False, id="not wanted"),
        pytest.param({"LAPS_TRACES": "true"}, True, id="wanted"),
    ],
)
def test_traces_are_wanted_where_a_collector_is_named(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], wanted: bool
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert Settings().traces is wanted


def test_a_server_without_opentelemetry_says_what_to_install(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "laps_server.tracing", None)
    with pytest.raises(BadParameter, match="OpenTelemetry is not installed") as caught:
        serve(Settings(model_repository=(home / "models",), port=0, traces=True))
    assert "laps-server[otel]" in str(caught.value.hint)
