"""A client that leaves frees what was held for it at once: not when the work ends that it does not want any more.

What works is held up for as long as a test lasts, so nothing ends by itself.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from laps_server.part import Part
from laps_server.video import decode_pool
from support.held_server import InProcess, in_process, open_uploads, until
from support.plain_videos import BLUE, RED, write_colour_video
from support.raw_requests import connected, request_bytes

KINDS = {
    "json": ("views=8x1", ""),
    "segments": ("views=4x1&segments=1s", ""),
    "events": ("views=8x1", "Accept: text/event-stream\r\n"),
    "events of segments": ("views=4x1&segments=1s", "Accept: text/event-stream\r\n"),
}
each_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_colour_video(tmp_path_factory.mktemp("video") / "clip.mp4", [RED] * 15 + [BLUE] * 15).read_bytes()


@contextmanager
def leaving(server: InProcess, request: bytes, *, receive_buffer: int | None = None) -> Iterator[socket.socket]:
    """A request on its way, whose client leaves when the context ends."""
    with connected(server.url, receive_buffer=receive_buffer) as connection:
        connection.sendall(request)
        until(lambda: server.requests == 1)
        yield connection


def free(server: InProcess, uploads: Path) -> Callable[[], bool]:
    """Whether nothing is held for anybody."""
    return lambda: (
        server.requests == 0
        and server.scheduler.queued_views == 0
        and server.scheduler.ahead(1000).undecoded == 0
        and server.runtime.decode_pool.waiting == 0
        and server.runtime.answers.used_bytes == 0
        and open_uploads(uploads) == 0
    )


class HeldDecoders:
    """Decoders that go on only when they are told to stop, as a packet that takes long."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.inside = 0
        self.stopped = threading.Event()
        monkeypatch.setattr(decode_pool, "extract_parts", self._extract)

    def _extract(self, *_: Any, should_stop: Callable[[], bool], **__: Any) -> Iterator[Part]:
        self.inside += 1
        try:
            while not should_stop():
                self.stopped.wait(0.01)
        finally:
            self.inside -= 1
        yield from ()


def test_while_it_sends_its_headers(repository: Path, tmp_path: Path) -> None:
    with in_process(repository, max_requests=1, upload_dir=tmp_path) as server:
        with connected(server.url) as connection:
            connection.sendall(b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-")
        assert server.requests == 0
        assert free(server, tmp_path)()


@each_kind
def test_while_it_sends_its_body(repository: Path, tmp_path: Path, content: bytes, kind: tuple[str, str]) -> None:
    query, headers = kind
    request = request_bytes(query, content[:1000], length=len(content), headers=headers)
    with in_process(repository, max_requests=1, upload_dir=tmp_path) as server:
        with leaving(server, request):
            until(lambda: open_uploads(tmp_path) == 1)
            assert server.scheduler.ahead(1000).undecoded > 0, "what is to come is reckoned with"
        until(free(server, tmp_path))


@each_kind
def test_while_it_is_decoded_and_while_it_waits_for_that(
    repository: Path, tmp_path: Path, content: bytes, kind: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    query, headers = kind
    request = request_bytes(query, content, headers=headers)
    decoders = HeldDecoders(monkeypatch)
    with in_process(repository, upload_dir=tmp_path, decode_workers=1) as server:
        with leaving(server, request):
            until(lambda: decoders.inside == 1)
            with connected(server.url) as waits:
                waits.sendall(request)
                until(lambda: server.runtime.decode_pool.waiting == 1)
            until(lambda: server.runtime.decode_pool.waiting == 0 and server.requests == 1)
            assert decoders.inside == 1, "the other one is still decoded"
        until(free(server, tmp_path))
        until(lambda: decoders.inside == 0)


@each_kind
def test_while_its_views_are_queued_and_run(
    repository: Path, tmp_path: Path, content: bytes, kind: tuple[str, str]
) -> None:
    query, headers = kind
    with in_process(repository, upload_dir=tmp_path) as server:
        server.engine.go_on.clear()
        with leaving(server, request_bytes(query, content, headers=headers)):
            until(lambda: server.scheduler.ahead(1000).all > 0 and server.runtime.answers.used_bytes > 0)
            with connected(server.url) as waits:
                waits.sendall(request_bytes(query, content, headers=headers))
                until(lambda: server.requests == 2 and server.scheduler.queued_views > 0)
            until(lambda: server.requests == 1)
        until(free(server, tmp_path))
        assert not server.engine.go_on.is_set(), "the engine still runs what it was given"


@pytest.mark.parametrize("headers", ["", "Accept: text/event-stream\r\n"], ids=["json", "events"])
def test_while_its_answer_is_sent(repository: Path, tmp_path: Path, content: bytes, headers: str) -> None:
    request = request_bytes("views=64x3&thumbnails=true&view_details=true", content, headers=headers)
    with in_process(repository, max_requests=1, upload_dir=tmp_path, send_buffer=4096) as server:
        with leaving(server, request, receive_buffer=4096) as connection:
            assert connection.recv(10) == b"HTTP/1.1 2"
            until(lambda: server.scheduler.ahead(1000).all == 0)
            assert server.runtime.answers.used_bytes > 0
            assert server.requests == 1, "it has not read all of it"
        until(free(server, tmp_path))
