"""What breaks around a request, over real HTTP; docs/reliability.md names those that are tested elsewhere."""

from __future__ import annotations

import errno
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from laps_server.api import uploads
from laps_server.api.app import create_app
from laps_server.runtime import build_runtime
from laps_server.settings import Settings, decoder_environment
from laps_server.video.sandbox.options import IS_AVAILABLE, SandboxOptions
from laps_server.video.sandbox.pool import SandboxPool
from support import planted_bugs
from support.classify_requests import error_of
from support.hostile_files import multipart
from support.hostile_server import CLOCKS, GOOD_FILM, HostileServer, hostile_server, write_numbers_model
from support.hostile_table import FORM, good, long_film
from support.live_servers import served
from support.right_answer import wrong_clips
from support.server_traces import ServerTraces, children_of, decoders_of
from support.sse_reader import HEARTBEAT, parse

pytestmark = pytest.mark.skipif(not IS_AVAILABLE, reason="only Linux has the sandbox, and tells what a process holds")

SEEN = {"view_details": "true", "thumbnails": "true"}
BAD = b"short"  # what planted bugs look out for
SEGMENTS = 16
LOST = "a decoder was lost at attempt {} of 2"


def until(condition: Callable[[], object], what: str, timeout_s: float = 15) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


# Decoders that are killed ---------------------------------------------------------------------------


@contextmanager
def decoders_stopped(server: HostileServer) -> Iterator[list[int]]:
    """Whatever is given to a decoder stays where it is, until they are killed or this ends."""
    decoders = decoders_of(server.process)
    for decoder in decoders:
        os.kill(decoder, signal.SIGSTOP)
    try:
        yield decoders
    finally:
        for decoder in set(decoders) & set(decoders_of(server.process)):
            os.kill(decoder, signal.SIGCONT)


def is_decoding(server: HostileServer) -> bool:
    """Whether the gateway has opened an upload once more, for a decoder."""
    return ServerTraces.of(server.process, server.uploads).upload_descriptors > 1


def test_a_killed_decoder_is_replaced_and_the_request_goes_on(server: HostileServer) -> None:
    before = len(server.process.log)
    with ThreadPoolExecutor(1) as client, decoders_stopped(server) as (busy, *waiting):
        for decoder in waiting:  # that these are gone is not the next video's fault
            os.kill(decoder, signal.SIGKILL)
        until(lambda: decoders_of(server.process) == [busy], "a decoder outlives SIGKILL")
        asked = client.submit(server.ask, params=SEEN, content=server.film)
        until(lambda: is_decoding(server), "no decoder was given the video")
        os.kill(busy, signal.SIGKILL)
        answer = asked.result(60)
    assert answer.status_code == 200, answer.text
    assert wrong_clips(answer.json(), GOOD_FILM, CLOCKS) == []
    assert sum(LOST.format(1) in line for line in server.process.log[before:]) == 1
    assert not any(LOST.format(2) in line for line in server.process.log[before:])


def test_a_stream_goes_on_where_its_decoder_was_killed(server: HostileServer, tmp_path: Path) -> None:
    film = long_film(tmp_path, times_over=50 * SEGMENTS)
    query = {"segments": "100s", "views": "1x1"}
    before, killed = len(server.process.log), False
    found: list[dict[str, Any]] = []
    with server.client() as client:
        request = {"params": query, "content": film.read_bytes(), "headers": {"accept": "text/event-stream"}}
        with client.stream("POST", "/classify", **request) as response:  # type: ignore[arg-type]
            for event in parse(response.iter_lines()):
                assert event.name != "error", event.data
                if event.name == "segment":
                    found.append(event.data)
                    if not killed:
                        killed = True
                        for decoder in decoders_of(server.process):
                            os.kill(decoder, signal.SIGKILL)
        whole = client.post("/classify", params=query, content=film.read_bytes()).json()["segments"]
    assert sum(LOST.format(1) in line for line in server.process.log[before:]) == 1
    assert [segment["index"] for segment in found] == list(range(SEGMENTS))
    assert [segment["predictions"] for segment in found] == [segment["predictions"] for segment in whole]


# Decoders with a bug --------------------------------------------------------------------------------


class BuggyServer:
    """A server in this process whose decoders have a bug for :data:`BAD`."""

    def __init__(self, url: str, app: FastAPI, film: bytes) -> None:
        self.url, self._app, self._film = url, app, film
        self._rest = self._held()

    def ask(self, content: bytes, **query: str) -> httpx.Response:
        with httpx.Client(timeout=60) as client:
            return client.post(f"{self.url}/classify", params=query, content=content)

    def check_good(self) -> None:
        answer = self.ask(self._film, **SEEN)
        assert answer.status_code == 200, answer.text
        assert wrong_clips(answer.json(), GOOD_FILM, CLOCKS) == []

    def check_unharmed(self) -> None:
        until(lambda: self._app.state.admission.active == 0, "a place is still taken")
        self.check_good()
        until(lambda: all(now <= then for now, then in zip(self._held(), self._rest, strict=True)), "something is left")

    def _held(self) -> tuple[int, int]:
        return len(list(Path("/proc/self/fd").iterdir())), len(children_of(os.getpid()))


@contextmanager
def buggy_server(folder: Path, bug: str, **options: Any) -> Iterator[BuggyServer]:
    write_numbers_model(folder / "models")
    settings = Settings(model_repository=folder / "models")
    tests = str(Path(planted_bugs.__file__).parents[1])
    environment = decoder_environment() | {"PYTHONPATH": os.pathsep.join([tests, *filter(None, sys.path)])}
    confined = SandboxOptions(extract=f"support.planted_bugs:{bug}", environment=environment)
    runtime = build_runtime(settings)
    runtime.decode_pool = SandboxPool(2, options=replace(confined, **options))
    app = create_app(runtime, settings)
    film = good(folder).read_bytes()
    with served(app) as url:
        for _ in range(2):
            httpx.post(f"{url}/classify", content=film, timeout=60).raise_for_status()
        server = BuggyServer(url, app, film)
        yield server
        server.check_unharmed()


@pytest.mark.parametrize("bug", ["segfault_if_short", "talk_nonsense_if_short"])
def test_a_video_that_crashes_two_decoders_is_refused_and_its_neighbours_are_answered(tmp_path: Path, bug: str) -> None:
    with buggy_server(tmp_path, bug) as server, ThreadPoolExecutor(6) as clients:
        asked = [clients.submit(server.ask, BAD) for _ in range(3)]
        neighbours = [clients.submit(server.check_good) for _ in range(6)]
        for refused in asked:
            error = error_of(refused.result(60), 422, "decoder_crashed")
            assert "twice" in error["message"]
        for answered in neighbours:
            answered.result(60)


def test_a_video_that_takes_all_memory_is_refused(tmp_path: Path) -> None:
    with buggy_server(tmp_path, "eat_memory_if_short", memory_mib=256) as server:
        assert "memory" in error_of(server.ask(BAD), 422, "decoder_crashed")["message"]


def test_a_video_that_keeps_its_decoder_in_a_loop_is_refused(tmp_path: Path) -> None:
    with buggy_server(tmp_path, "stuck_if_short", stall_s=0.5) as server:
        error = error_of(server.ask(BAD), 422, "decoder_crashed")
        assert "0.5 s" in error["message"]


def test_a_video_that_never_ends_is_stopped_at_its_deadline(tmp_path: Path) -> None:
    with buggy_server(tmp_path, "deaf_if_short") as server:
        error_of(server.ask(BAD, deadline_ms="500"), 504, "deadline_exceeded")


# Uploads and clients --------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["body", "form"])
def test_a_full_disk_is_503(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    """With a real small disk, too, where a test may mount one: tests/server/test_serve.py."""

    def full(_file: object, _data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with buggy_server(tmp_path, "segfault_if_short") as server:
        with monkeypatch.context() as patched:
            patched.setattr(uploads, "_write_all", full)
            if form == "body":
                answer = server.ask(bytes(3 << 20))
            else:
                body = multipart(("file", "a.mp4", bytes(3 << 20)))
                answer = httpx.post(f"{server.url}/classify", content=body, headers={"content-type": FORM})
        error_of(answer, 503, "storage_full")
        assert int(answer.headers["retry-after"]) >= 1


def test_a_client_that_sends_nothing_more_is_408(server: HostileServer) -> None:
    def body() -> Iterator[bytes]:
        yield server.film[:100]
        time.sleep(2.5)
        yield server.film[100:]

    error_of(server.ask(content=body()), 408, "slow_upload")


@pytest.fixture(scope="module")
def one_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostileServer]:
    """A server of one request at a time."""
    folder = tmp_path_factory.mktemp("one_place")
    with hostile_server(folder, LAPS_MAX_REQUESTS="1", LAPS_UPLOAD_IDLE_TIMEOUT_S="60") as server:
        yield server


@pytest.mark.parametrize("stage", ["upload", "decode", "events"])
def test_a_client_that_leaves_frees_its_place(one_place: HostileServer, stage: str, tmp_path: Path) -> None:
    """While the model works: tests/server/test_serve.py."""
    server = one_place

    def refused() -> bool:
        return server.ask(content=b"x").status_code == 503

    if stage == "upload":
        with leaving(server, {"content-length": str(2 * len(server.film))}) as send:
            send(server.film)
            until(refused, "its place is not taken")
    elif stage == "decode":
        with decoders_stopped(server), leaving(server, {"content-length": str(len(server.film))}) as send:
            send(server.film)
            until(lambda: is_decoding(server), "no decoder was given the video")
            assert refused()
    else:
        film = long_film(tmp_path).read_bytes()
        with server.client() as client:
            query = {"segments": "10s", "views": "10x3"}
            request = {"params": query, "content": film, "headers": {"accept": "text/event-stream"}}
            with client.stream("POST", "/classify", **request) as response:  # type: ignore[arg-type]
                events = parse(response.iter_lines())
                assert "segment" in (event.name for event in events if event.name != HEARTBEAT)
                assert refused()
    until(lambda: not refused(), "its place is still taken")
    server.check_unharmed()


@contextmanager
def leaving(server: HostileServer, headers: dict[str, str]) -> Iterator[Callable[[bytes], None]]:
    """A request whose client leaves without an answer; yields what sends some of its body."""
    url = httpx.URL(server.process.url)
    lines = {"host": "x", "x-api-key": server.key} | headers
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    with socket.create_connection((url.host, url.port or 0), timeout=30) as connection:
        connection.sendall(f"POST /classify HTTP/1.1\r\n{head}\r\n".encode())
        yield connection.sendall
