"""Requests by hand, on sockets, so that it is seen when the last byte of the headers left and the first of an answer
came: what a client library hides.

The client is the worst that there is among the well-behaved: it sends all of its body whatever the server says
meanwhile, and reads then.
"""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from dataclasses import dataclass

OK, REFUSED = 200, 503
PIECE_BYTES = 32 * 1024
TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Target:
    """What is asked: a query string, a video, and seconds between two pieces of a body that is sent slowly."""

    host: str
    port: int
    query: str
    video: bytes
    pause_s: float = 0.0


@dataclass(frozen=True)
class Exchange:
    """One request and what came of it; moments are of :func:`time.monotonic`.

    ``first_byte_s`` counts from the last byte of the headers. ``still_sending`` where an answer began before the body
    had left. ``broken`` says what happened to a connection without a whole answer.
    """

    sent_at: float
    ended_at: float
    status: int | None
    code: str
    first_byte_s: float
    retry_after_s: float | None
    still_sending: bool
    broken: str | None


async def exchange(target: Target, request_id: str, *, slowly: bool = False) -> Exchange:
    """Send one request and read its answer to the end."""
    began = time.monotonic()
    head, body, first, sending_ended, broken = b"", b"", 0.0, 0.0, None
    headers_sent = began
    try:
        async with asyncio.timeout(TIMEOUT_S):
            reader, writer = await asyncio.open_connection(target.host, target.port)
            try:
                writer.write(_head(target, request_id))
                await writer.drain()
                headers_sent = time.monotonic()
                sending = asyncio.create_task(_send(writer, target, slowly=slowly))
                try:
                    head = await reader.read(1)
                    first = time.monotonic()
                    head += await reader.readuntil(b"\r\n\r\n")
                    body = await reader.readexactly(int(_header(head, "content-length") or 0))
                    sending_ended = await sending
                finally:
                    sending.cancel()
            finally:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
    except (OSError, EOFError, TimeoutError) as exc:
        broken = type(exc).__name__
    status = int(head.split(b" ", 2)[1]) if head and broken is None else None
    retry_after = _header(head, "retry-after")
    code = "" if status in (None, OK) else str(json.loads(body)["error"]["code"])
    return Exchange(
        sent_at=began,
        ended_at=time.monotonic(),
        status=status,
        code=code,
        first_byte_s=first - headers_sent,
        retry_after_s=None if retry_after is None else float(retry_after),
        still_sending=first < sending_ended,
        broken=broken,
    )


def _head(target: Target, request_id: str) -> bytes:
    lines = (
        f"POST /classify?{target.query} HTTP/1.1",
        f"Host: {target.host}:{target.port}",
        "Content-Type: video/mp4",
        f"Content-Length: {len(target.video)}",
        f"X-Request-ID: {request_id}",
        "Connection: close",
    )
    return "\r\n".join((*lines, "", "")).encode()


async def _send(writer: asyncio.StreamWriter, target: Target, *, slowly: bool) -> float:
    """All of the body; when its last byte left."""
    for start in range(0, len(target.video), PIECE_BYTES):
        writer.write(target.video[start : start + PIECE_BYTES])
        await writer.drain()
        if slowly:
            await asyncio.sleep(target.pause_s)
    return time.monotonic()


def _header(head: bytes, name: str) -> str | None:
    for line in head.decode("latin-1").split("\r\n")[1:]:
        key, _, value = line.partition(":")
        if key.lower() == name:
            return value.strip()
    return None
