"""Refusals from a connection's first bytes: the same answers as the app's, and only where the app would give them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from laps_server.access.key_file import KeyFile, change_keys
from laps_server.access.keys import ApiKey, KeyRing, new_key_text
from laps_server.api import malformed
from laps_server.api.early_refusal import REPORT_S
from laps_server.metrics import Metrics
from support.held_server import InProcess, in_process
from support.raw_requests import connected, read_all

LINES = ("Host: x", "Content-Length: 1000000", "Content-Type: video/mp4")


@pytest.fixture
def passed_on(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """First bytes of the connections that became HTTP."""
    found: list[bytes] = []

    class Recorded(malformed.EnvelopeProtocol):
        def connection_made(self, transport: Any) -> None:
            found.append(b"")
            super().connection_made(transport)

        def data_received(self, data: bytes) -> None:
            found[-1] += data
            super().data_received(data)

    monkeypatch.setattr(malformed, "EnvelopeProtocol", Recorded)
    return found


@contextmanager
def overloaded(repository: Path, **options: Any) -> Iterator[InProcess]:
    """A server that refuses whatever comes, for its time."""
    with in_process(repository, **options) as server:
        server.scheduler._view.learn(1.0)
        with server.scheduler.reserve(60, urgent_deadline=0.0):
            yield server


def head(*lines: str, begin: str = "POST /classify?deadline_ms=1000 HTTP/1.1") -> bytes:
    return "\r\n".join((begin, *(lines or LINES), "", "")).encode("latin-1")


def ask(server: InProcess, request: bytes, *, pieces: bool = False) -> tuple[int, dict[str, str], Any]:
    with connected(server.url) as connection:
        if pieces:
            connection.sendall(request[:9])
            time.sleep(0.05)
            connection.sendall(request[9:])
        else:
            connection.sendall(request)
        found, _, body = read_all(connection).partition(b"\r\n\r\n")
    status, *lines = found.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return int(status.split()[1]), headers, json.loads(body)


@pytest.mark.parametrize("why", ["time", "places", "the end of the server"])
def test_the_answer_is_the_apps(
    repository: Path, why: str, passed_on: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    metrics = Metrics()
    options: dict[str, Any] = {"metrics": metrics, "max_requests": 1 if why == "places" else 10}
    caplog.set_level("INFO", logger="laps_server")
    with overloaded(repository, **options) as server, connected(server.url) as other:
        if why == "places":
            other.sendall(head(begin="POST /classify?deadline_ms=300000 HTTP/1.1") + b"x")
            while not server.requests:
                time.sleep(0.01)
        if why == "the end of the server":
            server.runtime.drain()
        passed_on.clear()
        early, late = (ask(server, head(*LINES, f"X-Request-ID: {number}"), pieces=number == 1) for number in range(2))
        assert len(passed_on) == 1
        for number, (status, headers, body) in enumerate((early, late)):
            assert status == 503
            assert headers.pop("x-request-id") == body["error"].pop("request_id") == str(number)
            assert headers.pop("date")
            assert int(headers.pop("retry-after")) > 0
            assert headers["connection"] == "close"
        assert early == late
        time.sleep(2 * REPORT_S)
        (counted,) = [
            line
            for line in metrics.exposition().decode().splitlines()
            if line.startswith("laps_http_request_seconds_count") and "/classify" in line and 'status="503"' in line
        ]
        assert counted.endswith(" 2.0")
    lines = [record.getMessage() for record in caplog.records if " 503 " in record.getMessage()]
    assert len(lines) == 2
    assert len({line.partition(" ms")[0].rpartition(" ")[0] for line in lines}) == 1


def test_a_request_that_is_let_in_goes_its_way_unchanged(repository: Path, passed_on: list[bytes]) -> None:
    with in_process(repository) as server:
        request = head("Host: x", "Content-Length: 3", "Connection: close") + b"abc"
        assert ask(server, request)[0] == 415
    assert request in passed_on


@pytest.mark.parametrize(
    "request_head",
    [
        pytest.param(head(begin="POST /classify HTTP/1.0"), id="HTTP/1.0"),
        pytest.param(head(begin="GET /classify HTTP/1.1"), id="another method"),
        pytest.param(head(begin="POST /classify/ HTTP/1.1"), id="another path"),
        pytest.param(head(begin="POST  /classify HTTP/1.1"), id="two spaces"),
        pytest.param(head(begin="POST /classify?a b HTTP/1.1"), id="a space in the target"),
        pytest.param(head(begin="POST /classify?#x HTTP/1.1"), id="a fragment"),
        pytest.param(head("Content-Length: 5"), id="no host"),
        pytest.param(head("Host: x"), id="no length"),
        pytest.param(head("Host: x", "Content-Length: 0"), id="no body"),
        pytest.param(head("Host: x", "Content-Length: +5"), id="a length that is none"),
        pytest.param(head("Host: x", "Content-Length: 5", "Content-Length: 6"), id="two lengths"),
        pytest.param(head("Host: x", "Content-Length : 5"), id="a space after a name"),
        pytest.param(head("Host: x", "Content-Length: 5", "a line"), id="no colon"),
        pytest.param(head("Host: x", "Content-Length: 5", "A: b", " c"), id="a folded line"),
        pytest.param(head("Host: x", "Content-Length: 5", "A: \xe9"), id="bytes beyond ASCII"),
        pytest.param(head("Host: x", "Content-Length: 5", "A: \x00"), id="a zero byte"),
        pytest.param(head("Host: x", "Transfer-Encoding: chunked"), id="chunks"),
        pytest.param(head(*LINES, "Origin: https://a.example"), id="another site"),
        pytest.param(head(*LINES, "X-Forwarded-For: 10.0.0.1"), id="behind a proxy"),
        pytest.param(head(*LINES, "A: " + "x" * 20_000), id="a long head"),
        pytest.param(head()[:-2], id="half a head"),
    ],
)
def test_whatever_is_out_of_the_ordinary_is_left_to_http(
    repository: Path, passed_on: list[bytes], request_head: bytes
) -> None:
    with overloaded(repository) as server, connected(server.url) as connection:
        connection.sendall(request_head)
        deadline = time.monotonic() + 10
        while request_head[:40] not in (seen[:40] for seen in passed_on):
            assert time.monotonic() < deadline, "it was refused"
            time.sleep(0.01)


def new_key(path: Path, name: str, **quota: Any) -> str:
    key_id, text, secret_hash = new_key_text()
    key = ApiKey(id=key_id, name=name, sha256=secret_hash, created="2026-01-01T00:00:00Z", **quota)
    change_keys(path, lambda ring: KeyRing((*ring.keys, key)))
    return text


def test_the_door_comes_first(repository: Path, tmp_path: Path, passed_on: list[bytes]) -> None:
    path = tmp_path / "keys.json"
    patient, hasty = new_key(path, "patient", requests_per_minute=6), new_key(path, "hasty", concurrency=0)

    def asked(server: InProcess, *lines: str) -> tuple[int, str]:
        status, _, body = ask(server, head(*LINES, *lines))
        return status, body["error"]["code"]

    with overloaded(repository, keys=KeyFile(path)) as server:
        passed_on.clear()
        assert asked(server) == (401, "unauthorized")
        assert asked(server, "X-API-Key: laps_00000000_x") == (401, "unauthorized")
        assert asked(server, f"X-API-Key: {hasty}") == (429, "quota_exceeded")
        assert len(passed_on) == 3
        for _ in range(3):  # a burst of one, of which a refusal takes nothing
            assert asked(server, f"Authorization: Bearer {patient}") == (503, "overloaded")
        assert len(passed_on) == 3


def test_a_connection_that_says_nothing_is_closed_with_the_server(repository: Path) -> None:
    with ExitStack() as stack:
        with in_process(repository) as server:
            silent = stack.enter_context(connected(server.url))
            time.sleep(0.1)
        assert read_all(silent) == b""


def test_what_was_refused_at_the_end_is_told(repository: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="laps_server")
    with overloaded(repository) as server:
        assert ask(server, head())[0] == 503
    assert sum(" 503 overloaded " in record.getMessage() for record in caplog.records) == 1
