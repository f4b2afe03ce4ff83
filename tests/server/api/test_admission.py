"""What is decided on the headers: who is refused before a byte of a body is read, and what such a client sees."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from laps_server.api import unread_body
from support.held_server import InProcess, in_process, until
from support.plain_videos import BLUE, RED, write_colour_video
from support.raw_requests import connected, read_all, request_bytes

OVERLOADED = "overloaded"
BIG = 8 * 2**20  # more than sockets buffer


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_colour_video(tmp_path_factory.mktemp("video") / "clip.mp4", [RED] * 10 + [BLUE] * 10)


@pytest.fixture
def server(repository: Path) -> Iterator[InProcess]:
    with in_process(repository, max_requests=10) as server:
        yield server


def answer(raw: bytes) -> tuple[int, dict[str, str], dict[str, Any]]:
    head, _, body = raw.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return int(status.split()[1]), headers, json.loads(body)


def post(server: InProcess, query: str = "", **options: Any) -> httpx.Response:
    return httpx.post(f"{server.url}/classify?{query}", timeout=60, **options)


def slow_views(server: InProcess, view_s: float) -> None:
    """Let the server know that a view takes so long."""
    server.scheduler._view.learn(view_s)
    assert server.scheduler.view_s == view_s


def test_what_would_be_late_is_refused_while_its_client_waits_to_send(server: InProcess) -> None:
    slow_views(server, 1.0)
    with server.scheduler.reserve(60, urgent_deadline=0.0), connected(server.url) as connection:
        connection.sendall(request_bytes("views=1x1&segments=2s&deadline_ms=30000", b"", length=BIG))
        status, headers, body = answer(read_all(connection))  # not one byte of the body was sent
    assert (status, body["error"]["code"]) == (503, OVERLOADED)
    assert "has 30.0 s" in body["error"]["message"]
    assert int(headers["retry-after"]) > 0
    assert headers["connection"] == "close"
    assert server.requests == 0


def test_the_forecast_counts_the_views_that_a_request_asks_for(server: InProcess, video: Path) -> None:
    slow_views(server, 0.001)
    content = video.read_bytes()

    def status(views: str) -> int:
        return post(server, f"views={views}&deadline_ms=300", content=content).status_code

    with server.scheduler.reserve(250):  # which are not urgent
        assert status("1x1") == 200
    with server.scheduler.reserve(400, urgent_deadline=0.0):
        assert status("1x1") == 503


def test_a_decoder_that_is_the_bottleneck_is_reckoned_with(repository: Path) -> None:
    with in_process(repository, decode_workers=2) as server:
        model = server.runtime.served.versions[0]
        model.decode_view.learn(0.5)
        with server.scheduler.reserve(40, urgent_deadline=0.0):
            forecast = server.runtime.served.forecast(model, views=1)
            assert forecast.busy_s == pytest.approx(40 * 0.5 / 2)
            assert server.scheduler.view_s == 0, "of the engine nothing is known yet"
            response = post(server, "deadline_ms=5000", content=b"x")
            assert response.json()["error"]["code"] == OVERLOADED


def test_what_views_cost_decoder_and_engine_is_learned_from_requests(server: InProcess, video: Path) -> None:
    model = server.runtime.served.versions[0]
    assert (model.decode_view.seconds, model.scheduler.view_s) == (0, 0)
    assert post(server, content=video.read_bytes()).status_code == 200
    assert model.decode_view.seconds > 0
    assert model.scheduler.view_s > 0


def test_who_comes_back_as_told_gets_in_before_newcomers(server: InProcess, video: Path) -> None:
    slow_views(server, 0.1)
    content = video.read_bytes()

    def ask(request_id: str) -> httpx.Response:
        headers = {"x-request-id": request_id}
        return post(server, "views=1x1&deadline_ms=10000", content=content, headers=headers)

    with server.scheduler.reserve(70, urgent_deadline=0.0):
        refused = ask("one")
    assert refused.status_code == 503
    with server.scheduler.reserve(80, urgent_deadline=0.0):  # more than newcomers may find
        assert ask("newcomer").status_code == 503
        time.sleep(int(refused.headers["retry-after"]))
        assert ask("one").status_code == 200


@pytest.mark.parametrize("query", ["views=1", "deadline_ms=soon", "version=x", "model=none"])
def test_what_admission_cannot_read_the_route_refuses(server: InProcess, query: str) -> None:
    slow_views(server, 1.0)
    with server.scheduler.reserve(60, urgent_deadline=0.0):
        assert post(server, query, content=b"x").status_code in (404, 422)


@pytest.mark.parametrize("sent", [0, 1000, BIG], ids=["nothing", "a part", "all"])
def test_a_client_that_still_sends_reads_its_refusal_and_no_reset(server: InProcess, sent: int) -> None:
    """It sends on whatever the server says, as most HTTP libraries do, and reads then."""
    slow_views(server, 1.0)
    with server.scheduler.reserve(60, urgent_deadline=0.0), connected(server.url) as connection:
        connection.sendall(request_bytes("deadline_ms=1000", b"", length=BIG))
        connection.sendall(bytes(sent))
        status, headers, body = answer(read_all(connection))
        assert (status, body["error"]["code"], headers["connection"]) == (503, OVERLOADED, "close")
        connection.sendall(b"more")  # the server's side is closed, and nobody minds


@pytest.mark.parametrize("status", [413, 422])
def test_other_errors_before_the_end_of_a_body_do_not_reset_it_either(repository: Path, status: int) -> None:
    with in_process(repository, max_upload_bytes=1000) as server, connected(server.url) as connection:
        connection.sendall(request_bytes("views=0" if status == 422 else "", bytes(BIG)))
        assert answer(read_all(connection))[0] == status


def test_a_client_that_sends_for_ever_is_cut(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unread_body, "LINGER_BYTES", 4 * 2**20)
    with in_process(repository, max_upload_bytes=1000) as server, connected(server.url) as connection:
        connection.sendall(request_bytes("", b"", length=2**40))
        with pytest.raises(ConnectionError):
            connection.sendall(bytes(2**28))


def test_a_client_that_sends_nothing_more_is_not_waited_for(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unread_body, "LINGER_IDLE_S", 0.2)
    with in_process(repository, max_upload_bytes=1000) as server, connected(server.url) as connection:
        connection.sendall(request_bytes("", b"", length=2**40))
        assert answer(read_all(connection))[0] == 413
        time.sleep(1)
        until(lambda: _is_cut(connection))


def test_pieces_of_what_was_refused_do_not_wake_the_server_one_by_one(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    woken: list[int] = []
    received = unread_body.LingeringProtocol.data_received

    def data_received(protocol: unread_body.LingeringProtocol, data: bytes) -> None:
        woken.append(len(data))
        received(protocol, data)

    monkeypatch.setattr(unread_body.LingeringProtocol, "data_received", data_received)
    with in_process(repository, max_upload_bytes=1000) as server, connected(server.url) as connection:
        connection.sendall(request_bytes("", b"", length=2**40))
        assert answer(read_all(connection))[0] == 413
        woken.clear()
        for _ in range(20):
            connection.sendall(bytes(1000))
            time.sleep(0.01)
        assert len(woken) <= 1
        connection.sendall(bytes(4 * unread_body.WAKE_BYTES))
        until(lambda: sum(woken) >= unread_body.WAKE_BYTES)


def _is_cut(connection: Any) -> bool:
    try:
        connection.send(b"x")
    except OSError:
        return True
    return False


def test_a_connection_goes_on_where_the_body_was_read(server: InProcess, video: Path) -> None:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        for _ in range(2):
            response = client.post("/classify", content=video.read_bytes())
            assert response.status_code == 200
            assert "connection" not in response.headers
        refused = client.post("/classify", content=b"no video")
        assert refused.status_code == 415
        assert "connection" not in refused.headers


def test_places_that_are_taken_are_told_with_the_time_to_come_back(repository: Path) -> None:
    with in_process(repository, max_requests=1) as server, connected(server.url) as connection:
        connection.sendall(request_bytes("", b"", length=100))
        until(lambda: server.requests == 1)
        refused = [post(server, content=b"x") for _ in range(3)]
    assert {response.status_code for response in refused} == {503}
    assert all(re.fullmatch("[0-9]+", response.headers["retry-after"]) for response in refused)
    assert "1 requests are in flight, of 1 at most" in refused[0].json()["error"]["message"]
