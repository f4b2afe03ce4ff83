"""Every row of the table of docs/reliability.md, over real HTTP; the ids of both are the same.

After each case the server is looked over: ``support.hostile_server`` tells for what. What decoding makes of such files
in particular is in tests/server/video.
"""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from http.client import HTTPResponse
from pathlib import Path

import httpx
import pytest

from support.classify_requests import error_of
from support.hostile_files import REFERENCES, multipart
from support.hostile_server import CLOCKS, GOOD_FILM, MAX_UPLOAD_BYTES, HostileServer, hostile_server
from support.hostile_table import (
    BAD_BODIES,
    BAD_FILES,
    BOUNDED_FILES,
    FORM,
    RIGHT_FILMS,
    BadBody,
    Make,
    RightFilm,
    cut_at_60_percent,
)
from support.right_answer import wrong_clips, wrong_facts, wrong_times, wrong_warnings

SEEN = {"view_details": "true", "thumbnails": "true"}  # what was sampled


# The request ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", BAD_BODIES.values(), ids=BAD_BODIES)
def test_a_body_that_holds_no_file_is_told(server: HostileServer, row: BadBody) -> None:
    with server.client() as client:
        del client.headers["content-type"]
        headers = {"content-type": row.content_type} if row.content_type else {}
        error_of(client.post("/classify", content=row.body, headers=headers), *row.answer)


@pytest.mark.parametrize(
    "rest",
    [
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n", id="bad-chunking"),
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n", id="bad-chunking-negative"),
        # More than is awaited of a head.
        pytest.param(b"".join(b"X-%d: %s\r\n" % (i, b"y" * 100) for i in range(640)), id="http-header-flood"),
    ],
)
def test_bytes_that_are_no_http_are_told(server: HostileServer, rest: bytes) -> None:
    head = b"POST /classify HTTP/1.1\r\nHost: x\r\nX-Api-Key: %s\r\n"
    error_of(raw(server, head % server.key.encode() + rest), 400, "bad_request")


def declared(server: HostileServer) -> httpx.Response:
    head = b"POST /classify HTTP/1.1\r\nHost: x\r\nX-Api-Key: %s\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    return raw(server, head % (server.key.encode(), 2 * MAX_UPLOAD_BYTES))


def in_chunks(server: HostileServer) -> httpx.Response:
    return server.ask(content=(bytes(65536) for _ in range(2 * MAX_UPLOAD_BYTES // 65536)))


@pytest.mark.parametrize(
    "send",
    [pytest.param(declared, id="oversize-by-content-length"), pytest.param(in_chunks, id="oversize-chunked")],
)
def test_more_bytes_than_are_taken_are_refused(
    server: HostileServer, send: Callable[[HostileServer], httpx.Response]
) -> None:
    error_of(send(server), 413, "too_large")


@pytest.mark.parametrize("key", [None, "laps_00000000_wrong", "Bearer"], ids=["missing-key", "wrong-key", "no-key"])
def test_who_has_no_key_is_not_let_in(server: HostileServer, key: str | None) -> None:
    headers = {"connection": "close"} | ({"x-api-key": key} if key else {})
    answer = httpx.post(f"{server.process.url}/classify", content=server.film, headers=headers)
    error_of(answer, 401, "unauthorized")


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        pytest.param({"model": "nothing"}, 404, "model_not_found", id="unknown-model"),
        pytest.param({"model": "numbers", "version": "9"}, 404, "version_not_found", id="unknown-version"),
        pytest.param({"views": "0x0"}, 422, "bad_parameter", id="bad-query-views"),
        pytest.param({"nonsense": "1"}, 422, "bad_parameter", id="bad-query-name"),
        pytest.param({"model": "../../etc/passwd\0"}, 404, "model_not_found", id="bad-query-path"),
    ],
)
def test_a_query_that_nothing_answers_is_told(
    server: HostileServer, query: dict[str, str], status: int, code: str
) -> None:
    error_of(server.ask(params=query, content=server.film), status, code)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("../../../etc/passwd", id="file-name-path"),
        pytest.param("a\0b.mp4", id="file-name-nul"),
        pytest.param("http://127.0.0.1/x.m3u8", id="file-name-address"),
        pytest.param("'\"; rm -rf /", id="file-name-shell"),
        pytest.param("<script>alert(1)</script>", id="file-name-script"),
        pytest.param("\x1b[2J\n200 OK.mp4", id="file-name-terminal"),
        pytest.param("x" * 5000, id="file-name-long"),
    ],
)
def test_a_hostile_file_name_is_said_nowhere(server: HostileServer, name: str) -> None:
    before = len(server.process.log)
    with server.client() as client:
        del client.headers["content-type"]
        answer = client.post("/classify", params=SEEN, files={"file": (name, server.film)})
    assert answer.status_code == 200, answer.text
    assert wrong_clips(answer.json(), GOOD_FILM, CLOCKS) == []
    assert name not in answer.text
    assert not any(name in line for line in server.process.log[before:])


# The file -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("make", "answer"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_file_that_is_refused(server: HostileServer, make: Make, answer: tuple[int, str], tmp_path: Path) -> None:
    error_of(server.ask(content=make(tmp_path).read_bytes()), *answer)


@pytest.mark.parametrize("kind", REFERENCES, ids="reference-{}".format)
def test_a_file_that_names_others_opens_none(
    server: HostileServer, kind: str, elsewhere: Elsewhere, tmp_path: Path
) -> None:
    refuse_references(server, kind, elsewhere, tmp_path)


def test_files_that_name_others_open_none_without_a_filter_too(elsewhere: Elsewhere, tmp_path: Path) -> None:
    """What stops them is how a file is opened; the filter of system calls is behind that."""
    (tmp_path / "server").mkdir()
    with hostile_server(tmp_path / "server", LAPS_DECODE_FILTER="off") as unfiltered:
        for kind in REFERENCES:
            refuse_references(unfiltered, kind, elsewhere, tmp_path)
        unfiltered.check_unharmed()


@pytest.mark.parametrize("make", BOUNDED_FILES.values(), ids=BOUNDED_FILES)
def test_a_file_that_lies_or_goes_on_costs_no_more_than_others(
    server: HostileServer, make: Make, tmp_path: Path
) -> None:
    answer = server.ask(content=make(tmp_path).read_bytes())
    if answer.status_code == 200:
        assert answer.json()["predictions"]
        assert answer.json()["request_id"] == answer.headers["x-request-id"]
    else:
        error_of(answer, 422, "video_corrupt")


@pytest.mark.parametrize("row", RIGHT_FILMS.values(), ids=RIGHT_FILMS)
def test_an_unusual_film_is_answered_right(server: HostileServer, row: RightFilm, tmp_path: Path) -> None:
    answer = server.ask(params=SEEN, content=row.make(tmp_path).read_bytes())
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["request_id"] == answer.headers["x-request-id"]
    assert wrong_times(body, row.film) == []
    assert wrong_facts(body, row.film) == []
    if not wrong_clips(body, row.film, CLOCKS):
        assert body["warnings"] == []
    else:
        assert not row.film.even
        assert wrong_warnings(body, "time runs back") == []


@pytest.mark.parametrize("make", [pytest.param(cut_at_60_percent, id="cut-at-60-percent")])
def test_a_film_that_was_cut_off_is_answered_with_a_warning(server: HostileServer, make: Make, tmp_path: Path) -> None:
    answer = server.ask(params=SEEN, content=make(tmp_path).read_bytes())
    assert answer.status_code == 200, answer.text
    warnings = answer.json()["warnings"]
    assert any("cut off" in warning for warning in warnings), warnings


# Helpers --------------------------------------------------------------------------------------------


class Elsewhere:
    """What a file must not get at: a server that hears connections, and a film beside it."""

    def __init__(self, port: int, film: Path) -> None:
        self.port, self.film = port, film
        self.heard: list[object] = []


@pytest.fixture
def elsewhere(tmp_path: Path, shared_server: HostileServer) -> Iterator[Elsewhere]:
    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            found.heard.append(self.client_address)

    (tmp_path / "sentinel.mp4").write_bytes(shared_server.film)
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as listening:
        found = Elsewhere(listening.server_address[1], tmp_path / "sentinel.mp4")
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        yield found
        listening.shutdown()
        thread.join()


def refuse_references(server: HostileServer, kind: str, elsewhere: Elsewhere, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{elsewhere.port}"
    text = REFERENCES[kind].format(url=url, file=elsewhere.film, port=elsewhere.port).encode()
    with server.client() as client:
        error_of(client.post("/classify", content=text), 415, "unsupported_container")
        for suffix in (".mp4", ".m3u8", ".txt", ".asx", ".wmv"):
            headers = {"content-type": FORM}
            body = multipart(("file", f"reference{suffix}", text))
            error_of(client.post("/classify", content=body, headers=headers), 415, "unsupported_container")
    assert elsewhere.heard == []


def raw(server: HostileServer, request: bytes) -> httpx.Response:
    """The answer to bytes that no client library sends."""
    url = httpx.URL(server.process.url)
    with socket.create_connection((url.host, url.port or 0), timeout=30) as connection:
        connection.sendall(request)
        with HTTPResponse(connection) as answer:
            answer.begin()
            return httpx.Response(answer.status, headers=answer.getheaders(), content=answer.read())
