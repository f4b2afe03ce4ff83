"""``POST /classify`` as a stream of events, over real HTTP."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from laps_server.api import sending, stream
from laps_server.api.stream import EVENTS, HEARTBEAT, with_heartbeats
from support.held_server import in_process, open_uploads, until
from support.live_servers import ServerProcess, running_server
from support.model_repositories import slow_graph, write_model
from support.plain_videos import BLUE, GREEN, RED, write_colour_video
from support.sse_reader import ACCEPT, Sent, events_of, parse, streamed
from support.sse_reader import HEARTBEAT as SILENCE

MAX_UPLOAD_BYTES = 400_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stream")


@pytest.fixture(scope="module")
def repository(folder: Path) -> Path:
    write_model(folder / "models", "colours")
    return folder / "models"


@pytest.fixture(scope="module")
def server(repository: Path) -> Iterator[ServerProcess]:
    env = {"LAPS_MAX_UPLOAD_BYTES": str(MAX_UPLOAD_BYTES), "LAPS_MAX_SEGMENTS": "5", "LAPS_DEFAULT_DEADLINE_S": "60"}
    with running_server(repository, env=env) as server:
        yield server


@pytest.fixture(scope="module")
def video(folder: Path) -> Path:
    """2.5 seconds: red, then green, then blue for half a second."""
    return write_colour_video(folder / "clip.mp4", [RED] * 10 + [GREEN] * 10 + [BLUE] * 5)


def names(events: list[Sent]) -> list[str]:
    return [event.name for event in events]


def assert_as_described(events: list[Sent]) -> None:
    """Each event holds the fields that its schema has, all of them and no others."""
    for event in events:
        assert event.data.keys() == EVENTS[event.name][0].model_fields.keys(), event.name


def comparable(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer without what differs between two equal requests."""
    return {key: value for key, value in answer.items() if key not in ("request_id", "timings_ms")}


def as_json(server: ServerProcess, video: Path, **query: Any) -> dict[str, Any]:
    response = httpx.post(f"{server.url}/classify", params=query, content=video.read_bytes(), timeout=60)
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


# What a stream holds -------------------------------------------------------------------------------


def test_events_come_in_order_with_what_they_promise(server: ServerProcess, video: Path) -> None:
    accepted, decoded, *partials, result = events_of(server.url, video, views="2x3", top_k=4)
    assert names([accepted, decoded, *partials, result]) == ["accepted", "decoded", *["partial"] * 6, "result"]
    assert_as_described([accepted, decoded, *partials, result])
    assert accepted.data == {
        "request_id": accepted.data["request_id"],
        "model": {"name": "colours", "version": 1, "engine": "ort", "precision": "float32"},
        "views": {"temporal": 2, "spatial": 3},
        "upload_bytes": video.stat().st_size,
        "segment_s": None,
    }
    assert decoded.data == {
        "video": result.data["video"],
        "views_total": 6,
        "segments_total": None,
        "warnings": result.data["warnings"],
    }
    assert [partial.data["views_done"] for partial in partials] == [1, 2, 3, 4, 5, 6]
    assert {partial.data["views_total"] for partial in partials} == {6}
    assert all(len(partial.data["predictions"]) == 4 for partial in partials)
    for last, whole in zip(partials[-1].data["predictions"], result.data["predictions"], strict=True):
        assert last["label"] == whole["label"]
        assert last["score"] == pytest.approx(whole["score"], rel=1e-6)
    assert result.data["request_id"] == accepted.data["request_id"]
    assert set(result.data["timings_ms"]) == {"upload", "decode", "queue", "infer", "total"}


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"views": "1x1", "frames": False},
        {"thumbnails": True, "view_details": True, "top_k": 4},
        {"explain": True},
        {"view_details": True, "explain": True},
        {"segments": "1s", "views": "2x1", "thumbnails": True},
    ],
    ids=str,
)
def test_the_result_is_the_json_answer(server: ServerProcess, video: Path, query: dict[str, Any]) -> None:
    *_, result = events_of(server.url, video, **query)
    assert comparable(result.data) == comparable(as_json(server, video, **query))


def test_the_stream_has_the_headers_that_keep_it_one(server: ServerProcess, video: Path) -> None:
    headers = {**ACCEPT, "x-request-id": "trace-9"}
    with httpx.stream("POST", f"{server.url}/classify", content=video.read_bytes(), headers=headers) as response:
        lines = list(response.iter_lines())
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-accel-buffering"] == "no"
    assert response.headers["x-request-id"] == "trace-9"
    assert "content-length" not in response.headers
    assert '"request_id":"trace-9"' in lines[1]


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("text/event-stream", "text/event-stream"),
        ("application/json;q=0.5, text/event-stream", "text/event-stream"),
        ("text/event-stream, application/json", "application/json"),
        ("*/*", "application/json"),
    ],
)
def test_the_accept_header_chooses(server: ServerProcess, video: Path, accept: str, kind: str) -> None:
    response = httpx.post(f"{server.url}/classify", content=video.read_bytes(), headers={"accept": accept})
    assert response.headers["content-type"].startswith(kind)


def test_accept_in_two_lines_is_one_list(server: ServerProcess, video: Path) -> None:
    lines = [("accept", "application/json;q=0.1"), ("accept", "text/event-stream")]
    response = httpx.post(f"{server.url}/classify", content=video.read_bytes(), headers=lines)
    assert response.headers["content-type"].startswith("text/event-stream")


def test_the_openapi_page_tells_every_event(server: ServerProcess) -> None:
    document = httpx.get(f"{server.url}/openapi.json").json()
    content = document["paths"]["/classify"]["post"]["responses"]["200"]["content"]
    assert content["application/json"]["schema"] == {"$ref": "#/components/schemas/ClassifyResponse"}
    text = content["text/event-stream"]["schema"]["description"]
    events = content["text/event-stream"]["x-events"]
    assert list(events) == list(EVENTS)
    for name, (body, _) in EVENTS.items():
        schema = document["components"]["schemas"][events[name]["data"]["$ref"].removeprefix("#/components/schemas/")]
        assert list(schema["properties"]) == list(body.model_fields)
        line = next(line for line in text.splitlines() if line.startswith(f"- `{name}`"))
        assert all(f"`{field}`" in line for field in body.model_fields)


# Segments ------------------------------------------------------------------------------------------


def test_segments_come_one_by_one_and_again_in_the_result(server: ServerProcess, video: Path) -> None:
    accepted, decoded, *segments, result = events_of(server.url, video, segments="1s", views="2x1", top_k=2)
    assert accepted.data["segment_s"] == 1.0
    assert (decoded.data["segments_total"], decoded.data["views_total"]) == (3, 6)
    assert names(segments) == ["segment"] * 3
    assert_as_described(segments)
    assert [(event.data["start_s"], event.data["end_s"]) for event in segments] == [(0, 1), (1, 2), (2, 2.5)]
    assert [event.data["predictions"][0]["label"] for event in segments] == ["red", "green", "blue"]
    assert [event.data.pop("segments_done") for event in segments] == [1, 2, 3]
    assert [event.data.pop("segments_total") for event in segments] == [3, 3, 3]
    assert [event.data for event in segments] == result.data["segments"]
    for number, event in enumerate(segments):
        assert event.data["index"] == number
        assert event.data["views"] == {"temporal": 2, "spatial": 1, "used": 2, "sampling": "laps_uniform"}
        assert event.data["frames"]["labels"] == [item["label"] for item in event.data["predictions"]]
        assert all(number <= time_s < number + 1 for time_s in event.data["frames"]["time_s"])
        assert event.data["thumbnails"] is None
    assert "short" in segments[-1].data["warnings"][0]
    timeline = result.data["timeline"]
    assert timeline["labels"] == [item["label"] for item in result.data["predictions"]]
    assert (timeline["start_s"], timeline["end_s"]) == ([0, 1, 2], [1, 2, 2.5])
    by_label = {item["label"]: item["score"] for item in segments[0].data["predictions"]}
    assert timeline["scores"][0][timeline["labels"].index("red")] == pytest.approx(by_label["red"])
    assert [len(row) for row in timeline["scores"]] == [2, 2, 2]
    assert result.data["views"] == {"temporal": 2, "spatial": 1, "used": 6, "sampling": "laps_uniform"}
    for name in ("frames", "thumbnails", "view_details", "explain"):
        assert result.data[name] is None


def test_each_segment_has_the_picture_of_its_middle(server: ServerProcess, video: Path) -> None:
    *_, result = events_of(server.url, video, segments="1s", views="2x1", thumbnails=True)
    pictures = [segment["thumbnails"] for segment in result.data["segments"]]
    assert [len(each) for each in pictures] == [1, 1, 1]
    assert [each[0]["time_s"] for each in pictures] == pytest.approx([0.5, 1.5, 2.25], abs=0.2)
    assert result.data["thumbnails"] is None


def test_an_answer_without_segments_says_so(server: ServerProcess, video: Path) -> None:
    body = as_json(server, video)
    assert body["segments"] is None
    assert body["timeline"] is None


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"segments": "10"}, "10s"),
        ({"segments": "ten seconds"}, "10s"),
        ({"segments": ""}, "10s"),
        ({"segments": "0.5s"}, "at least 1 s"),
        ({"segments": "1s", "view_details": True}, "one segment's file"),
        ({"segments": "1s", "explain": True}, "one segment's file"),
        ({"segments": ["1s", "2s"]}, "once"),
        ({"views": "5x2"}, "3 crops"),
        ({"model": "none"}, "colours"),
    ],
    ids=str,
)
@pytest.mark.parametrize("accept", ["text/event-stream", "application/json"])
def test_a_wrong_parameter_is_told_before_any_stream(
    server: ServerProcess, video: Path, accept: str, query: dict[str, Any], said: str
) -> None:
    response = httpx.post(
        f"{server.url}/classify", params=query, content=video.read_bytes(), headers={"accept": accept}
    )
    assert response.status_code == (404 if "model" in query else 422)
    assert response.headers["content-type"] == "application/json"
    assert said in response.json()["error"]["hint"]


def test_too_many_segments_name_the_shortest_length(server: ServerProcess, folder: Path) -> None:
    long = write_colour_video(folder / "long.mkv", [RED] * 80)
    refused = httpx.post(f"{server.url}/classify", params={"segments": "1s"}, content=long.read_bytes())
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "bad_parameter")
    assert "segments=1.581s" in refused.json()["error"]["hint"]
    assert len(as_json(server, long, segments="1.581s")["segments"]) == 5
    _, error = events_of(server.url, long, segments="1s")
    assert (error.name, error.data["status"]) == ("error", 422)
    assert error.data["error"]["hint"] == refused.json()["error"]["hint"]
    assert httpx.get(f"{server.url}/models").json()["limits"]["max_segments"] == 5


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("connection", ["keep-alive", "close"])
def test_a_client_of_http_1_0_gets_events_without_chunks_until_the_connection_ends(
    server: ServerProcess, video: Path, version: str, connection: str
) -> None:
    content = video.read_bytes()
    host, port = server.url.removeprefix("http://").split(":")
    request = (
        f"POST /classify HTTP/{version}\r\nHost: laps\r\nAccept: text/event-stream\r\nContent-Type: video/mp4\r\n"
        f"Connection: {connection}\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    with socket.create_connection((host, int(port)), timeout=30) as peer:
        peer.sendall(request.encode() + content)
        answer = b""
        chunked = version == "1.1"
        while received := peer.recv(65536):  # for 1.0 this ends as the server closes, asked to or not
            answer += received
            if chunked and answer.endswith(b"\r\n0\r\n\r\n"):
                break
    head, _, body = answer.partition(b"\r\n\r\n")
    assert (b"transfer-encoding: chunked" in head.lower()) is chunked
    assert (b"connection: close" in head.lower()) is (not chunked or connection == "close")
    if not chunked:
        names = [event.name for event in parse(body.decode().splitlines())]
        assert names[0] == "accepted"
        assert names[-1] == "result"


# Errors --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "headers", "status", "code"),
    [
        (b"", {"content-type": "video/mp4"}, 415, "unsupported_container"),
        (b"", {}, 422, "file_missing"),
        (b"x" * 2 * MAX_UPLOAD_BYTES, {}, 413, "too_large"),
        (b"x", {"content-type": "multipart/form-data"}, 400, "bad_multipart"),
    ],
    ids=["empty", "missing", "too large", "no multipart"],
)
def test_errors_of_the_upload_are_plain_answers(
    server: ServerProcess, content: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    response = httpx.post(f"{server.url}/classify", content=content, headers={**ACCEPT, **headers})
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)


def corrupt(path: Path) -> Path:
    """The headers of a video with a body of nothing."""
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + 4
    stop = data.index(b"moov") - 4
    assert stop > start
    data[start:stop] = bytes(stop - start)
    spoilt = path.with_name(f"spoilt_{path.name}")
    spoilt.write_bytes(data)
    return spoilt


@pytest.mark.parametrize("query", [{}, {"segments": "1s"}], ids=["whole", "segments"])
@pytest.mark.parametrize(
    ("what", "status", "code"), [("text", 415, "unsupported_container"), ("corrupt", 422, "video_corrupt")]
)
def test_errors_of_the_video_are_the_last_event(
    server: ServerProcess, folder: Path, video: Path, query: dict[str, str], what: str, status: int, code: str
) -> None:
    path = folder / "text.mp4"
    path.write_text("no video " * 100)
    if what == "corrupt":
        path = corrupt(video)
    accepted, error = events_of(server.url, path, **query)
    assert accepted.name == "accepted"
    assert error.name == "error"
    assert_as_described([accepted, error])
    assert (error.data["status"], error.data["retry_after_s"], error.data["error"]["code"]) == (status, None, code)
    assert error.data["error"]["request_id"] == accepted.data["request_id"]
    plain = httpx.post(f"{server.url}/classify", params=query, content=path.read_bytes())
    assert plain.status_code == status
    assert plain.json()["error"] | {"request_id": ""} == error.data["error"] | {"request_id": ""}
    server.wait_for(re.compile(f"the stream ends with {status} {code}"), timeout_s=5)


def test_a_deadline_that_passes_in_a_stream_is_an_event(repository: Path, video: Path) -> None:
    with in_process(repository) as server:
        server.engine.go_on.clear()
        for query, ask in (({}, "views=1x1"), ({"segments": "1s"}, "longer segments")):
            accepted, decoded, error = events_of(server.url, video, deadline_ms=2000, **query)
            assert names([accepted, decoded, error]) == ["accepted", "decoded", "error"]
            assert (error.data["status"], error.data["error"]["code"]) == (504, "deadline_exceeded")
            assert ask in error.data["error"]["hint"]
            assert server.scheduler.queued_views == 0


def test_a_full_queue_says_in_the_stream_when_to_come_again(repository: Path, video: Path) -> None:
    with in_process(repository, max_queued_views=192) as server:
        server.engine.go_on.clear()
        with streamed(server.url, video, views="64x3") as first:
            assert names([next(first), next(first)]) == ["accepted", "decoded"]
            *_, error = events_of(server.url, video, views="64x3")
            assert (error.data["status"], error.data["error"]["code"]) == (503, "overloaded")
            assert error.data["retry_after_s"] == 1


@pytest.mark.parametrize("query", [{}, {"segments": "1s"}], ids=["whole", "segments"])
def test_a_defect_is_an_event_that_tells_nothing_of_it(
    repository: Path, video: Path, tmp_path: Path, query: dict[str, str]
) -> None:
    with in_process(repository, upload_dir=tmp_path) as server:
        server.engine.failure = RuntimeError("secret")
        *_, error = events_of(server.url, video, **query)
        assert (error.name, error.data["status"], error.data["error"]["code"]) == ("error", 500, "internal")
        assert "secret" not in str(error.data)
        server.engine.failure = None
        assert events_of(server.url, video, **query)[-1].name == "result"
        until(lambda: open_uploads(tmp_path) == 0)


def test_a_defect_in_the_stream_itself_is_told_too(
    repository: Path, video: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: object) -> None:
        raise KeyError("secret")

    with in_process(repository) as server:
        monkeypatch.setattr(stream, "partial_event", broken)
        *_, error = events_of(server.url, video)
        assert (error.name, error.data["error"]["code"]) == ("error", "internal")
        assert "secret" not in str(error.data)
        until(lambda: server.requests == 0)
    assert "KeyError" in caplog.text, "the log does not say what happened"


# Silence, and leaving ------------------------------------------------------------------------------


def test_a_slow_engine_is_bridged_by_heartbeats(repository: Path, video: Path) -> None:
    with in_process(repository, heartbeat_s=0.1) as server:
        server.engine.go_on.clear()
        with streamed(server.url, video, views="1x1") as events:
            decoded = next(event for event in events if event.name == "decoded")
            silence = [next(events), next(events)]
            server.engine.go_on.set()
            rest = [event for event in events if event.name != SILENCE]
    assert decoded.data["views_total"] == 1
    assert names(silence) == [SILENCE, SILENCE]
    assert names(rest) == ["partial", "result"]


def test_quick_events_need_no_heartbeat(repository: Path, video: Path) -> None:
    with in_process(repository) as server, streamed(server.url, video) as events:
        assert SILENCE not in [event.name for event in events]


async def numbers(go_on: asyncio.Event, *, fail: bool = False) -> AsyncGenerator[bytes, None]:
    """0, and 1 and 2, or an error, when it may go on."""
    yield b"0"
    await go_on.wait()
    if fail:
        raise KeyError("here")
    yield b"1"
    yield b"2"


async def test_heartbeats_fill_silence_and_nothing_else() -> None:
    go_on = asyncio.Event()
    chunks = with_heartbeats(numbers(go_on), every_s=0.05)
    assert [await anext(chunks) for _ in range(4)] == [b"0", HEARTBEAT, HEARTBEAT, HEARTBEAT]
    go_on.set()
    assert [chunk async for chunk in chunks if chunk != HEARTBEAT] == [b"1", b"2"]
    assert [chunk async for chunk in with_heartbeats(numbers(go_on), every_s=60)] == [b"0", b"1", b"2"]


async def test_an_error_passes_through_heartbeats() -> None:
    go_on = asyncio.Event()
    chunks = with_heartbeats(numbers(go_on, fail=True), every_s=0.05)
    assert [await anext(chunks), await anext(chunks)] == [b"0", HEARTBEAT]
    go_on.set()
    with pytest.raises(KeyError, match="here"):
        assert [chunk async for chunk in chunks if chunk != HEARTBEAT] == []


async def test_leaving_while_it_is_silent_closes_the_source() -> None:
    closed = asyncio.Event()

    async def silent() -> AsyncGenerator[bytes, None]:
        try:
            await asyncio.sleep(60)
            yield b"never"
        finally:
            closed.set()

    chunks = with_heartbeats(silent(), every_s=0.01)
    assert await anext(chunks) == HEARTBEAT
    await chunks.aclose()
    assert closed.is_set()


@pytest.mark.parametrize("query", [{"views": "64x3"}, {"views": "10x3", "segments": "1s"}], ids=["whole", "segments"])
def test_a_client_that_leaves_takes_its_views_along_and_frees_its_place(
    repository: Path, video: Path, tmp_path: Path, query: dict[str, Any]
) -> None:
    with in_process(repository, max_requests=1, upload_dir=tmp_path) as server:
        server.engine.go_on.clear()
        with streamed(server.url, video, **query) as events:
            assert names([next(events), next(events)]) == ["accepted", "decoded"]
            until(lambda: server.scheduler.queued_views > 20)
            assert server.requests == 1
            assert open_uploads(tmp_path) > 0
            refused = httpx.post(f"{server.url}/classify", content=b"x", headers=ACCEPT)
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "overloaded")
        until(lambda: server.scheduler.queued_views == 0 and server.requests == 0)
        until(lambda: open_uploads(tmp_path) == 0)
        server.engine.go_on.set()
        assert events_of(server.url, video, views="1x1")[-1].name == "result"
        in_flight_when_it_left, afterwards = (len(batch) for batch in server.engine.batches)
        assert in_flight_when_it_left < 20, "one batch of the client that left"
        assert afterwards == 1, "views of the client that left were run"


def test_a_client_that_reads_nothing_loses_its_place(
    repository: Path, video: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sending, "STALLED_READER_S", 0.5)
    with in_process(repository, send_buffer=4096) as server, socket.socket() as connection:
        host, port = server.url.removeprefix("http://").split(":")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((host, int(port)))
        content = video.read_bytes()
        target = "/classify?views=64x3&thumbnails=true&view_details=true"
        head = f"Host: x\r\nAccept: text/event-stream\r\nContent-Length: {len(content)}\r\n\r\n"
        connection.sendall(f"POST {target} HTTP/1.1\r\n{head}".encode() + content)
        until(lambda: server.requests == 1)
        until(lambda: server.requests == 0, timeout_s=30)
        assert "its answer was cut" in caplog.text
        assert server.scheduler.queued_views == 0


def test_a_drain_finishes_a_running_stream(tmp_path: Path, video: Path) -> None:
    write_model(tmp_path, "slow", graph=slow_graph(frames=4, size=32, classes=4))
    env = {"LAPS_MAX_BATCH_VIEWS": "1", "LAPS_HEARTBEAT_S": "0.2", "LAPS_DRAIN_TIMEOUT_S": "300"}
    with running_server(tmp_path, env=env) as server:
        with streamed(server.url, video, views="1x1", segments="2s") as events:
            assert names([next(events)]) == ["accepted"]
            server.process.send_signal(signal.SIGTERM)
            rest = [event.name for event in events]
        assert rest[-1] == "result"
        assert rest.count("segment") == 2
        assert SILENCE in rest
        assert server.process.wait(30) == 0
        server.wait_for(re.compile(r"POST /classify 200"), timeout_s=5)
