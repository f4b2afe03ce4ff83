"""Heads that do not end: the rest of what never becomes a request is in test_access.py, on a server process."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator

import httpx
import pytest
from fastapi import FastAPI, Request

from laps_server.api import malformed
from support.live_servers import served


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    """Of an app behind the protocol, which awaits a head for a third of a second."""
    monkeypatch.setattr(malformed, "HEAD_TIMEOUT_S", 0.3)
    app = FastAPI()
    app.get("/readyz")(lambda: "ready")

    @app.post("/echo")
    async def echo(request: Request) -> str:
        return (await request.body()).decode()

    with served(app) as url:
        parts = httpx.URL(url)
        yield parts.host, parts.port or 0


def until_closed(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65536), b""))


def test_half_a_head_is_answered_and_closed(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\n")
        head, _, body = until_closed(connection).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ")
    assert json.loads(body)["error"]["code"] == "slow_upload"


def test_a_connection_that_says_nothing_is_closed(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=10) as connection:
        assert until_closed(connection) == b""


def test_the_second_head_of_a_connection_has_to_end_too(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(65536).endswith(b'"ready"')
        connection.sendall(b"G")
        assert until_closed(connection).startswith(b"HTTP/1.1 408 ")


def test_a_body_may_take_longer_than_a_head(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(b"POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 4\r\n\r\nha")
        time.sleep(0.6)
        connection.sendall(b"lf")
        assert until_closed(connection).endswith(b'"half"')
