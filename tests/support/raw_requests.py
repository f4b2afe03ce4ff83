"""Requests by hand on sockets: for clients that send half of something, that leave, or that do not read."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager


def request_bytes(query: str, body: bytes, *, length: int | None = None, headers: str = "") -> bytes:
    """A classify request with a raw body; ``length`` where it says that more is to come."""
    size = len(body) if length is None else length
    head = f"POST /classify?{query} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n{headers}\r\n"
    return head.encode() + body


@contextmanager
def connected(url: str, *, receive_buffer: int | None = None) -> Iterator[socket.socket]:
    host, _, port = url.removeprefix("http://").rpartition(":")
    with socket.socket() as connection:
        if receive_buffer is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.settimeout(30)
        connection.connect((host, int(port)))
        yield connection


def read_all(connection: socket.socket) -> bytes:
    """Until the server closes its side; raises where it resets the connection."""
    received = b""
    while piece := connection.recv(65536):
        received += piece
    return received
