"""Streams written by hand, for servers that break off, beat, stumble or speak nonsense; the real one does not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from support.flaky_server import Exchange, Step
from support.response_bodies import BODY

HEARTBEAT = b": heartbeat\n\n"


def event(name: str, data: Any) -> bytes:
    """One event as the server writes it."""
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()


ACCEPTED = event(
    "accepted",
    {
        "request_id": "r",
        "model": BODY["model"],
        "views": {"temporal": 1, "spatial": 1},
        "upload_bytes": 5,
        "segment_s": None,
    },
)
DECODED = event("decoded", {"video": BODY["video"], "views_total": 1, "segments_total": None, "warnings": []})
PARTIAL = event("partial", {"predictions": BODY["predictions"], "views_done": 1, "views_total": 1})
RESULT = event("result", BODY)
WHOLE = [ACCEPTED, DECODED, PARTIAL, RESULT]


def failed(code: str, status: int, retry_after_s: float | None = None) -> bytes:
    """The event of an error."""
    error = {"code": code, "message": f"{code} happened", "hint": "a hint", "request_id": "from-server"}
    return event("error", {"error": error, "status": status, "retry_after_s": retry_after_s})


def telling(*pieces: bytes, pause_s: float = 0, cut: bool = False, headers: Mapping[str, str] | None = None) -> Step:
    """Events, one chunk of the answer each; ``cut`` resets the connection in place of the answer's end."""

    def step(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.read_body()
        fields = {"Content-Type": "text/event-stream; charset=utf-8", "Transfer-Encoding": "chunked"}
        # Each request has a connection of its own: a client that took this one again might find it closing.
        fields |= {"Connection": "close", **(headers or {})}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        exchange.connection.sendall(f"HTTP/1.1 200 OK\r\n{head}\r\n".encode())
        for piece in pieces:
            if pause_s and exchange.stop.wait(pause_s):
                return
            exchange.connection.sendall(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        if cut:
            exchange.reset()
        else:
            exchange.connection.sendall(b"0\r\n\r\n")

    return step
