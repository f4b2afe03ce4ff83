"""Everything at the same time, then a stop in the middle of it: every request is accounted for, and nothing stays.

Good requests of every kind stand beside bad files, uploads that stall, clients that leave, and deadlines. Which comes
when is drawn by a seed. A good answer is what a quiet server gives; a bad one is the error it should be, on the wire
and in the log.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from http.client import HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from support.live_servers import ServerProcess, running_server
from support.model_repositories import LABELS, slow_graph, write_model
from support.plain_videos import BLUE, GREEN, RED, write_colour_video
from support.sse_reader import HEARTBEAT, parse

IDLE_TIMEOUT_S = 3
MAX_UPLOAD_BYTES = 400_000
OF_EACH = 4
# Of the event loop's two pools, which start threads when they are first needed. A thread that hangs would also keep the
# process from ending.
POOLED_THREADS = min(32, (os.cpu_count() or 1) + 4) + 12
_SLOW = "model=slow&views=64x1"
_BOUNDARY = "frontier"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

Seen = Any  # a status with a body or with an error's code, a list of events, or None of a client that left


@dataclass(frozen=True)
class Behaviour:
    """What a client sends and does.

    Attributes:
        query: of the request.
        body: name of the file that it sends.
        expected: status and code of an error, None of a client that leaves; of a good request a quiet server tells.
        logged: the status in the server's log.
        events: whether the client asks for events.
        multipart: whether the file is a field of a form.
        declared_bytes: what the client says of the body's size, where that is not its size.
        does: where the client misbehaves: it stalls or leaves in the middle of its upload, or leaves later.
        hurries: whether its deadline is so near that it may be refused for what waits, before its body is read.
    """

    query: str = "views=2x3"
    body: str = "clip.mp4"
    expected: tuple[int, str] | None = None
    logged: int = 200
    events: bool = False
    multipart: bool = False
    declared_bytes: int | None = None
    does: str = ""
    hurries: bool = False


GOOD = {
    "json": Behaviour(),
    "form": Behaviour("views=1x1&top_k=2", multipart=True),
    "events": Behaviour("views=4x1", events=True),
    "segments": Behaviour("segments=1s&views=1x1", body="film.mp4"),
    "segment events": Behaviour("segments=1s&views=2x1", body="film.mp4", events=True),
    "slow events": Behaviour("model=slow&views=2x1", events=True),
}
BAD = {
    "no video": Behaviour(body="text.mp4", expected=(415, "unsupported_container"), logged=415),
    "half a video": Behaviour(body="half.mp4", expected=(422, "no_video_stream"), logged=422),
    "wrong option": Behaviour("views=0x0", expected=(422, "bad_parameter"), logged=422),
    "too large": Behaviour(declared_bytes=10**9, expected=(413, "too_large"), logged=413),
    "late": Behaviour(f"{_SLOW}&deadline_ms=600", expected=(504, "deadline_exceeded"), logged=504, hurries=True),
    "stalled upload": Behaviour(does="stalls", expected=(408, "slow_upload"), logged=408),
    "left upload": Behaviour(does="leaves upload", logged=499),
    "left wait": Behaviour(_SLOW, does="leaves wait", logged=499),
    "left events": Behaviour(_SLOW, does="leaves events", events=True),
}
BEHAVIOURS = GOOD | BAD
REFUSED_UNREAD = {"wrong option", "too large"}
OVERLOADED = (503, "overloaded")


class Client:
    """Sends one request; ``pause`` comes in the middle of it, when the server has begun to read the body."""

    def __init__(self, url: str, files: Path, pause: Callable[[], None] = lambda: None) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname, parts.port)
        self._files = files
        self._pause = pause

    def __call__(self, name: str, request_id: str) -> Seen:
        behaviour = BEHAVIOURS[name]
        with socket.create_connection(self._address, timeout=60) as connection:
            head, body = self._request(behaviour, request_id)
            connection.sendall(head)
            if name not in REFUSED_UNREAD:
                told = connection.recv(len(_CONTINUE), socket.MSG_WAITALL | socket.MSG_PEEK)
                if behaviour.hurries and told != _CONTINUE:
                    self._pause()
                    return self._answer(behaviour, connection)
                assert connection.recv(len(_CONTINUE)) == told == _CONTINUE
            half = len(body) // 2
            with suppress(ConnectionError):  # a server that has refused it reads no further
                connection.sendall(body[:half])
            if behaviour.does.endswith(("upload", "stalls")):
                self._pause()
                return None if behaviour.does == "leaves upload" else self._answer(behaviour, connection)
            if behaviour.does:
                connection.sendall(body[half:])
                return self._leave(behaviour, connection)
            self._pause()
            with suppress(ConnectionError):
                connection.sendall(body[half:])
            return self._answer(behaviour, connection)

    def _request(self, behaviour: Behaviour, request_id: str) -> tuple[bytes, bytes]:
        body = (self._files / behaviour.body).read_bytes()
        headers = {"Host": "x", "Connection": "close", "Expect": "100-continue", "X-Request-Id": request_id}
        if behaviour.multipart:
            part = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n'
            body = part.encode() + body + f"\r\n--{_BOUNDARY}--\r\n".encode()
            headers["Content-Type"] = f"multipart/form-data; boundary={_BOUNDARY}"
        if behaviour.events:
            headers["Accept"] = "text/event-stream"
        headers["Content-Length"] = str(behaviour.declared_bytes or len(body))
        lines = [f"POST /classify?{behaviour.query} HTTP/1.1", *(f"{key}: {value}" for key, value in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode(), body

    def _leave(self, behaviour: Behaviour, connection: socket.socket) -> None:
        """Leave while the model works: after a few events, or without a word."""
        if behaviour.events:
            with HTTPResponse(connection) as response:
                response.begin()
                events = parse(line.decode().rstrip("\n") for line in response)
                assert "partial" in (event.name for event in events)
        self._pause()

    @staticmethod
    def _answer(behaviour: Behaviour, connection: socket.socket) -> Seen:
        with HTTPResponse(connection) as response:
            response.begin()
            if behaviour.events and response.status == 200:
                events = parse(line.decode().rstrip("\n") for line in response)
                return [(event.name, lasting(event.data)) for event in events if event.name != HEARTBEAT]
            body = json.loads(response.read())
            return response.status, body["error"]["code"] if "error" in body else lasting(body)


def possible(name: str, expected: Seen) -> list[Seen]:
    """What a client may see."""
    return [expected, OVERLOADED] if BEHAVIOURS[name].hurries else [expected]


def lasting(data: dict[str, Any]) -> dict[str, Any]:
    """What is the same in every answer to the same question."""
    return {key: value for key, value in data.items() if key not in ("request_id", "timings_ms")}


def resources(server: ServerProcess) -> dict[str, int]:
    """Files, sockets and threads that the process holds."""
    process = Path(f"/proc/{server.process.pid}")
    held = Counter({"thread": len(list((process / "task").iterdir()))})
    for link in (process / "fd").iterdir():
        with suppress(FileNotFoundError):
            target = str(link.readlink())
            held["socket" if target.startswith("socket:") else "upload" if "uploads" in target else "other"] += 1
    return dict(held)


def wait_for_resources(server: ServerProcess, most: dict[str, int], timeout_s: float = 10) -> None:
    """Wait until the process holds no more than that."""
    deadline = time.monotonic() + timeout_s
    while True:
        held = resources(server)
        if all(held[kind] <= most.get(kind, 0) for kind in held):
            return
        assert time.monotonic() < deadline, f"the server holds {held}, and before {most}"
        time.sleep(0.05)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    clip = write_colour_video(tmp_path / "clip.mp4", [RED] * 12 + [GREEN] * 12)
    write_colour_video(tmp_path / "film.mp4", [RED] * 10 + [BLUE] * 10 + [GREEN] * 10)
    (tmp_path / "text.mp4").write_bytes(b"no video at all " * 100)
    (tmp_path / "half.mp4").write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    return tmp_path


@pytest.fixture
def server(tmp_path: Path, uploads: Path) -> Iterator[ServerProcess]:
    """Serves `colours`, and `slow`, which is busy with a video for seconds."""
    write_model(tmp_path / "models", "colours")
    slow = slow_graph(frames=4, size=32, classes=len(LABELS), rounds=1)
    write_model(tmp_path / "models", "slow", graph=slow)
    env = {
        "LAPS_DEFAULT_MODEL": "colours",
        "LAPS_UPLOAD_DIR": str(uploads),
        "LAPS_MAX_UPLOAD_BYTES": str(MAX_UPLOAD_BYTES),
        "LAPS_UPLOAD_IDLE_TIMEOUT_S": str(IDLE_TIMEOUT_S),
        "LAPS_MAX_BATCH_VIEWS": "1",
        "LAPS_MAX_REQUESTS": "128",
    }
    with running_server(tmp_path / "models", env=env) as process:
        yield process


@pytest.fixture
def uploads(tmp_path: Path) -> Path:
    folder = tmp_path / "uploads"
    folder.mkdir()
    return folder


def test_every_request_of_a_storm_and_of_a_stop_in_it_is_accounted_for(
    server: ServerProcess, files: Path, uploads: Path
) -> None:
    with ThreadPoolExecutor(OF_EACH * len(BEHAVIOURS)) as clients:
        # What a quiet server holds and answers.
        held = resources(server)
        client = Client(server.url, files)
        expected = {name: client(name, "quiet") if name in GOOD else BAD[name].expected for name in BEHAVIOURS}

        # The storm.
        draw = random.Random(13)
        names = draw.sample([*BEHAVIOURS] * OF_EACH, OF_EACH * len(BEHAVIOURS))
        storm = {f"storm-{number}": name for number, name in enumerate(names)}
        pauses = [partial(time.sleep, draw.uniform(0, 0.3)) for _ in storm]
        sent = [
            clients.submit(Client(server.url, files, pause), name, request_id)
            for pause, (request_id, name) in zip(pauses, storm.items(), strict=True)
        ]
        for name, future in zip(storm.values(), sent, strict=True):
            assert future.result(60) in possible(name, expected[name]), name
        wait_for_resources(server, {**held, "thread": held["thread"] + POOLED_THREADS})

        # The stop, while one client of each kind has sent half of its video, or waits for its answer.
        caught = {f"caught-{number}": name for number, name in enumerate(BEHAVIOURS) if name not in REFUSED_UNREAD}
        in_flight, stopping = threading.Barrier(len(caught) + 1), threading.Event()

        def until_it_stops() -> None:
            in_flight.wait(60)
            stopping.wait(60)

        client = Client(server.url, files, until_it_stops)
        sent = [clients.submit(client, name, request_id) for request_id, name in caught.items()]
        in_flight.wait(60)
        server.process.send_signal(signal.SIGTERM)
        while httpx.get(f"{server.url}/readyz").status_code == 200:
            time.sleep(0.01)
        refused = httpx.post(f"{server.url}/classify", content=b"x")
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "shutting_down")
        stopping.set()
        for name, future in zip(caught.values(), sent, strict=True):
            assert future.result(60) in possible(name, expected[name]), name
        assert server.process.wait(30) == 0

    # What the server itself says: one line for each request, with the status that it should have.
    assert list(uploads.iterdir()) == []
    log = "".join(server.log)
    assert "Traceback" not in log
    lines = re.findall(r"\[((?:storm|caught)-[^\]]*)\] laps_server\.api\.request_report: POST /classify (\d+)", log)
    assert sorted(request_id for request_id, _ in lines) == sorted(storm | caught)
    for request_id, status in lines:
        behaviour = BEHAVIOURS[(storm | caught)[request_id]]
        assert int(status) == behaviour.logged or (behaviour.hurries and int(status) == OVERLOADED[0]), request_id
