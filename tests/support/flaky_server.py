"""An HTTP server that misbehaves on request: one step of a script for each request it gets."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qs, urlsplit

_PIECE_BYTES = 65_536
_RESET = struct.pack("ii", 1, 0)  # linger on, for no time: close() resets the connection


@dataclass
class Exchange:
    """One connection and the request on it."""

    connection: socket.socket
    began: float
    stop: threading.Event
    target: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    _rest: bytes = b""

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.target).query)

    def read_head(self) -> None:
        while b"\r\n\r\n" not in self._rest:
            self._rest += self._receive()
        head, self._rest = self._rest.split(b"\r\n\r\n", 1)
        first, *lines = head.decode("latin-1").split("\r\n")
        self.target = first.split(" ")[1]
        self.headers = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines)}

    def read_body(self, most: int | None = None) -> None:
        """To its end, or until ``most`` bytes of it (or a little more) have come."""
        if self.headers.get("transfer-encoding") == "chunked":
            while not self._rest.endswith(b"0\r\n\r\n") and (most is None or len(self._rest) < most):
                self._rest += self._receive()
            self.body = _unchunked(self._rest) if most is None else self._rest
        else:
            size = int(self.headers.get("content-length", "0"))
            while len(self._rest) < min(size, size if most is None else most):
                self._rest += self._receive()
            self.body = self._rest

    def skip_body(self) -> None:
        """To its end, keeping nothing."""
        left = int(self.headers["content-length"]) - len(self._rest)
        while left > 0:
            left -= len(self._receive())

    def answer(self, status: int, body: bytes, headers: Mapping[str, str] | None = None, *, says: int = 0) -> None:
        """Send a whole answer; ``says`` adds to its Content-Length bytes that never come."""
        fields = {"Content-Type": "application/json", "Content-Length": str(len(body) + says), "Connection": "close"}
        head = "".join(f"{name}: {value}\r\n" for name, value in {**fields, **(headers or {})}.items())
        self.connection.sendall(f"HTTP/1.1 {status} Said\r\n{head}\r\n".encode() + body)

    def reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)

    def _receive(self) -> bytes:
        piece = self.connection.recv(_PIECE_BYTES)
        if not piece:
            raise ConnectionError("the client left")
        return piece


Step = Callable[[Exchange], None]


def answering(
    status: int,
    body: bytes | Mapping[str, Any] | Sequence[Any] = b"",
    headers: Mapping[str, str] | None = None,
    *,
    after_s: float = 0,
) -> Step:
    """Read the whole request, then answer."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()

    def step(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.read_body()
        exchange.stop.wait(after_s)
        exchange.answer(status, content, headers)

    return step


def failing(status: int, code: str, headers: Mapping[str, str] | None = None) -> Step:
    """An error as the server words it."""
    error = {"code": code, "message": f"{code} happened", "hint": "a hint", "request_id": "from-server"}
    return answering(status, {"error": error}, headers)


def cutting_short(body: bytes) -> Step:
    """An answer that ends before its Content-Length."""

    def step(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.read_body()
        exchange.answer(200, body[: len(body) // 2], says=len(body) - len(body) // 2)

    return step


def trickling(body: bytes, pause_s: float) -> Step:
    """An answer of which a byte comes now and then."""

    def step(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.read_body()
        exchange.answer(200, b"", says=len(body))
        for byte in body:
            if exchange.stop.wait(pause_s):
                return
            exchange.connection.sendall(bytes([byte]))

    return step


def dropping(exchange: Exchange) -> None:
    """Reset the connection before a byte of it is read."""
    exchange.reset()


def dropping_after(body_bytes: int) -> Step:
    """Reset the connection within the upload."""

    def step(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.read_body(body_bytes)
        exchange.reset()

    return step


def counting(status: int) -> Step:
    """Read the whole request and keep nothing of it; then answer."""

    def step(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.skip_body()
        exchange.answer(status, b"{}")

    return step


def never_reading(exchange: Exchange) -> None:
    """Take the connection and nothing of what comes on it."""
    exchange.stop.wait(30)


def passing_on(exchange: Exchange, url: str) -> Iterator[bytes]:
    """The request goes on to a real server, whose answer comes in pieces; its connection ends with the iterator."""
    upstream = urlsplit(url)
    exchange.read_head()
    exchange.read_body()
    head = {**exchange.headers, "content-length": str(len(exchange.body)), "connection": "close"}
    head.pop("transfer-encoding", None)
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    method = "POST" if exchange.target.startswith("/classify") else "GET"
    with socket.create_connection((str(upstream.hostname), int(upstream.port or 80))) as server:
        server.sendall(f"{method} {exchange.target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + exchange.body)
        while piece := server.recv(_PIECE_BYTES):
            yield piece


def forwarding(url: str) -> Step:
    """Pass the request on to a real server, and its answer back."""

    def step(exchange: Exchange) -> None:
        for piece in passing_on(exchange, url):
            exchange.connection.sendall(piece)

    return step


def cutting(url: str, at: bytes) -> Step:
    """As :func:`forwarding`, but of the answer only what comes before ``at``; then the connection is reset."""

    def step(exchange: Exchange) -> None:
        answer, sent = b"", 0
        for piece in passing_on(exchange, url):
            answer += piece
            before, found, _ = answer.partition(at)
            whole = len(before) if found else max(sent, len(answer) - len(at))  # the rest may be the beginning of it
            exchange.connection.sendall(answer[sent:whole])
            sent = whole
            if found:
                exchange.stop.wait(0.1)  # a reset at once would take back what is on its way
                exchange.reset()
                return

    return step


@dataclass
class FlakyServer:
    """Follows ``script`` request by request, its last step for all that come later; keeps what it got."""

    listener: socket.socket
    script: list[Step]
    exchanges: list[Exchange] = field(default_factory=list)
    faults: list[BaseException] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    @property
    def waits_s(self) -> list[float]:
        """Seconds between one request and the next."""
        began = [exchange.began for exchange in self.exchanges]
        return [later - earlier for earlier, later in pairwise(began)]

    def serve(self) -> None:
        while not self.stop.is_set():
            with suppress(OSError):  # shut down at the end
                connection, _ = self.listener.accept()
                connection.settimeout(30)
                exchange = Exchange(connection, time.monotonic(), self.stop)
                step = self.script[min(len(self.exchanges), len(self.script) - 1)]
                self.exchanges.append(exchange)
                threading.Thread(target=self._follow, args=(step, exchange), daemon=True).start()

    def _follow(self, step: Step, exchange: Exchange) -> None:
        with exchange.connection:
            try:
                step(exchange)
            except OSError:  # a client that gives up
                pass
            except BaseException as exc:  # told by the fixture, not lost with the thread
                self.faults.append(exc)


@contextmanager
def flaky_server(*script: Step, port: int = 0) -> Iterator[FlakyServer]:
    """Run a script on a free port, or on a given one."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        server = FlakyServer(listener, list(script))
        thread = threading.Thread(target=server.serve, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.stop.set()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(5)
    assert server.faults == []


def _unchunked(raw: bytes) -> bytes:
    body = b""
    while True:
        size, raw = raw.split(b"\r\n", 1)
        count = int(size, 16)
        if count == 0:
            return body
        body, raw = body + raw[:count], raw[count + 2 :]
