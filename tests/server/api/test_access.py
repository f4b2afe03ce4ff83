"""The door of a real server: keys, quotas, the second port, other sites, bytes that are no HTTP."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from laps_server.api.security_headers import SECURITY_HEADERS
from support.live_servers import ServerProcess, running_server
from support.model_repositories import write_model
from support.plain_videos import RED, write_colour_video

ORIGIN = "https://app.example"


def keys(folder: Path, *args: str) -> str:
    """What ``laps-server keys`` prints."""
    command = [sys.executable, "-m", "laps_server", "keys", *args, "--file", str(folder / "keys.json")]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("access")
    write_model(home / "models", "colours")
    write_colour_video(home / "clip.mp4", [RED] * 10)
    return home


@pytest.fixture(scope="module")
def lab(home: Path) -> str:
    return keys(home, "add", "lab")


@pytest.fixture(scope="module")
def locked(home: Path, lab: str) -> Iterator[ServerProcess]:
    env = {"LAPS_KEYS_FILE": str(home / "keys.json"), "LAPS_CORS_ORIGINS": ORIGIN}
    with running_server(home / "models", env=env) as server:
        yield server


def classify(url: str, home: Path, **headers: str) -> httpx.Response:
    return httpx.post(f"{url}/classify", content=(home / "clip.mp4").read_bytes(), headers=headers, timeout=60)


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_a_key_is_needed_and_may_come_in_two_headers(locked: ServerProcess, home: Path, lab: str) -> None:
    unknown = {"authorization": "Bearer laps_00000000_x"}
    for headers in ({}, unknown, {"authorization": f"Basic {lab}"}, {"x-api-key": ""}):
        refused = classify(locked.url, home, **headers)
        assert code(refused) == (401, "unauthorized"), headers
        assert refused.headers["www-authenticate"] == "Bearer"
    assert classify(locked.url, home, authorization=f"Bearer {lab}").status_code == 200
    assert classify(locked.url, home, **{"x-api-key": lab}).status_code == 200
    assert any(f"key {lab.split('_')[1]}" in line for line in locked.log)
    assert not any(lab.split("_", 2)[2] in line for line in locked.log)


def test_only_an_admin_key_administers(locked: ServerProcess, home: Path, lab: str) -> None:
    chief = keys(home, "add", "chief", "--admin")
    time.sleep(1)
    url = f"{locked.url}/admin/anything"
    assert code(httpx.post(url)) == (401, "unauthorized")
    assert code(httpx.post(url, headers={"x-api-key": lab})) == (403, "forbidden")
    assert code(httpx.post(url, headers={"x-api-key": chief})) == (404, "not_found"), "it is let in to what is there"


def test_a_file_of_keys_that_turns_wrong_locks_nobody_out(home: Path, lab: str, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text((home / "keys.json").read_text())
    with running_server(home / "models", env={"LAPS_KEYS_FILE": str(path)}) as server:
        for damage in ("{", '{"keys": [{}]}'):
            path.write_text(damage)
            time.sleep(0.5)
            assert httpx.get(f"{server.url}/models", headers={"x-api-key": lab}).status_code == 200
        assert httpx.get(f"{server.url}/models").status_code == 401
        assert sum("keys stay as they were" in line for line in server.log) == 2


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/livez", 200),
        ("/readyz", 200),
        ("/", 200),
        ("/web/js/app.js", 200),
        ("/models", 401),
        ("/docs", 200),
        ("/metrics", 401),
    ],
)
def test_what_is_open_without_a_key(locked: ServerProcess, path: str, status: int) -> None:
    assert httpx.get(locked.url + path).status_code == status


def test_the_reference_asks_for_a_key_where_it_is_tried_on(locked: ServerProcess) -> None:
    document = httpx.get(f"{locked.url}/openapi.json").json()
    assert document["components"]["securitySchemes"] == {"key": {"type": "http", "scheme": "bearer"}}
    assert {"key": []} in document["security"]
    assert {"401", "429"} <= set(document["paths"]["/classify"]["post"]["responses"])


def test_a_refusal_comes_before_the_body(locked: ServerProcess) -> None:
    host, port = locked.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 401 ")


def test_a_revoked_key_is_refused_within_a_second(locked: ServerProcess, home: Path) -> None:
    guest = keys(home, "add", "guest")
    time.sleep(1)
    assert classify(locked.url, home, **{"x-api-key": guest}).status_code == 200
    keys(home, "revoke", "guest")
    time.sleep(1)
    assert code(classify(locked.url, home, **{"x-api-key": guest})) == (401, "unauthorized")


def test_a_quota_is_429_with_the_time_to_wait(locked: ServerProcess, home: Path, lab: str) -> None:
    slow = keys(home, "add", "slow", "--requests-per-minute", "2")
    time.sleep(0.5)
    assert classify(locked.url, home, **{"x-api-key": slow}).status_code == 200
    refused = classify(locked.url, home, **{"x-api-key": slow})
    assert code(refused) == (429, "quota_exceeded")
    assert 25 <= int(refused.headers["retry-after"]) <= 30
    assert classify(locked.url, home, **{"x-api-key": lab}).status_code == 200, "another key is not touched"


def test_one_key_cannot_take_more_places_than_it_has(locked: ServerProcess, home: Path) -> None:
    single = keys(home, "add", "single", "--concurrency", "1")
    time.sleep(0.5)
    host, port = locked.url.removeprefix("http://").split(":")
    head = f"POST /classify HTTP/1.1\r\nHost: x\r\nX-API-Key: {single}\r\nContent-Length: 1000\r\n\r\nbegun"
    with socket.create_connection((host, int(port)), timeout=10) as held:
        held.sendall(head.encode())
        time.sleep(0.3)
        assert code(classify(locked.url, home, **{"x-api-key": single})) == (429, "quota_exceeded")
    deadline = time.monotonic() + 2
    while classify(locked.url, home, **{"x-api-key": single}).status_code != 200:
        assert time.monotonic() < deadline, "the place does not come back"


def test_only_named_sites_may_call_from_a_browser(locked: ServerProcess) -> None:
    ask = {"access-control-request-method": "POST", "access-control-request-headers": "x-api-key"}
    mine = httpx.options(f"{locked.url}/classify", headers={"origin": ORIGIN, **ask})
    assert mine.headers["access-control-allow-origin"] == ORIGIN
    refused = httpx.get(f"{locked.url}/models", headers={"origin": ORIGIN})
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, ORIGIN), "it may read why"
    theirs = httpx.options(f"{locked.url}/classify", headers={"origin": "https://evil.example", **ask})
    assert "access-control-allow-origin" not in theirs.headers


NO_HTTP = {
    "a word": b"hello\r\n\r\n",
    "a header with a space": b"GET / HTTP/1.1\r\nHo st: x\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00" * 40 + b"\r\n\r\n",
    "a path that is no ASCII": b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    "two lengths": b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "a length below 0": b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "endless headers": b"GET / HTTP/1.1\r\nHost: " + b"x" * 200_000,
}


@pytest.mark.parametrize("sent", NO_HTTP.values(), ids=NO_HTTP.keys())
def test_what_is_no_http_gets_the_envelope(locked: ServerProcess, sent: bytes) -> None:
    head, body = answer_to(locked, sent)
    assert head.startswith(b"HTTP/1.1 400 ")
    error = json.loads(body)["error"]
    assert error["code"] == "bad_request"
    assert f"x-request-id: {error['request_id']}".encode() in head.lower()


def answer_to(server: ServerProcess, sent: bytes) -> tuple[bytes, bytes]:
    """The head and the body of what comes back until the server closes."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        with suppress(ConnectionError):  # it has been refused before its end
            connection.sendall(sent)
        answer = b""
        with suppress(ConnectionError):
            while piece := connection.recv(65536):
                answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    return head, body


CLOSE = b"Host: x\r\nConnection: close\r\n"
ANSWERS = {
    200: b"GET /livez HTTP/1.1\r\n" + CLOSE + b"\r\n",
    400: NO_HTTP["a word"],
    401: b"GET /models HTTP/1.1\r\n" + CLOSE + b"\r\n",
    404: b"GET /web/none.js HTTP/1.1\r\n" + CLOSE + b"\r\n",
    405: b"PUT /readyz HTTP/1.1\r\n" + CLOSE + b"\r\n",
}


@pytest.mark.parametrize("status", ANSWERS)
def test_every_answer_has_an_id_and_tells_browsers_to_take_it_for_no_more_than_it_is(
    locked: ServerProcess, status: int
) -> None:
    lines = answer_to(locked, ANSWERS[status])[0].decode().lower().split("\r\n")
    assert lines[0].startswith(f"http/1.1 {status} ")
    headers = dict(line.split(": ", 1) for line in lines[1:])
    assert re.fullmatch("[0-9a-f]{32}", headers["x-request-id"])
    assert {name: headers.get(name.lower()) for name in SECURITY_HEADERS} == {
        name: value.lower() for name, value in SECURITY_HEADERS.items()
    }
    assert "server" not in headers


def test_who_asks_for_a_websocket_gets_an_answer_of_http(locked: ServerProcess) -> None:
    asked = b"Upgrade: websocket\r\nSec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\nSec-WebSocket-Version: 13\r\n"
    head, body = answer_to(
        locked, b"GET /models HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\n" + asked + b"\r\n"
    )
    assert head.startswith(b"HTTP/1.1 401 ")
    assert json.loads(body)["error"]["code"] == "unauthorized"


def refused_start(home: Path, *args: str, **env: str) -> str:
    command = [sys.executable, "-m", "laps_server", "serve", "--port", "0", "--model-repository", str(home / "models")]
    done = subprocess.run(
        [*command, *args], env={**os.environ, **env}, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2, done.stderr
    return done.stderr


def test_an_open_door_to_other_machines_has_to_be_asked_for(home: Path, tmp_path: Path) -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1"):
        assert "--allow-anonymous" in refused_start(home, "--host", host)
    (tmp_path / "none.json").write_text('{"keys": []}')
    assert "holds no key" in refused_start(home, LAPS_KEYS_FILE=str(tmp_path / "none.json"))
    assert "keys add" in refused_start(home, LAPS_KEYS_FILE=str(tmp_path / "missing.json"))
    with started(home, "--host", "0.0.0.0", "--allow-anonymous") as log:
        assert "listening on http://0.0.0.0" in log


@contextmanager
def started(home: Path, *args: str, **env: str) -> Iterator[str]:
    """A server that listens; what it had logged by then."""
    command = [sys.executable, "-m", "laps_server", "serve", "--port", "0", "--model-repository", str(home / "models")]
    process = subprocess.Popen([*command, *args], env={**os.environ, **env}, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    stopping = threading.Timer(60, process.kill)
    stopping.start()
    log = ""
    try:
        while not re.search(r"listening on .*\n", log):
            line = process.stderr.readline()
            assert line, log
            log += line
        yield log
    finally:
        stopping.cancel()
        process.kill()
        process.stderr.close()
        process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        number: int = sock.getsockname()[1]
        return number


def test_the_second_port_has_what_is_inside_and_the_first_has_it_no_more(home: Path, lab: str) -> None:
    port = free_port()
    env = {"LAPS_KEYS_FILE": str(home / "keys.json"), "LAPS_INTERNAL_PORT": str(port)}
    with running_server(home / "models", env=env) as server:
        inside = f"http://127.0.0.1:{port}"
        key = {"x-api-key": lab}
        assert httpx.get(f"{inside}/docs").status_code == 200
        assert "laps_" in httpx.get(f"{inside}/metrics").text
        assert code(httpx.get(f"{server.url}/metrics", headers=key)) == (404, "not_found")
        assert code(httpx.post(f"{server.url}/admin/reload", headers=key)) == (404, "not_found")
        assert code(httpx.post(f"{inside}/admin/reload")) == (401, "unauthorized")
        assert code(httpx.post(f"{inside}/admin/reload", headers=key)) == (403, "forbidden")
        assert httpx.get(f"{inside}/livez").status_code == 200
        assert httpx.get(f"{server.url}/livez").status_code == 200
        assert code(httpx.get(f"{server.url}/docs", headers=key)) == (404, "not_found")
        assert code(httpx.get(f"{inside}/models", headers=key)) == (404, "not_found")
        assert code(classify(inside, home, **key)) == (404, "not_found")
        assert classify(server.url, home, **key).status_code == 200
