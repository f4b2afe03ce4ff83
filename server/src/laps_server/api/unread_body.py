"""An answer that is there before its request's body was read: it ends the connection, and no reset hits the client.

A system that closes a socket with unread bytes in it resets the connection, and the client may lose the answer that it
has not read yet. So our side is closed first, and what the client still sends is read and thrown away, up to limits::

    client   headers, body … … … … … … …│ reads the answer, closes
    server          ╰► answer, our end   ╰► throws away … … … … … closes

A client that looks at answers while it sends stops at once; one that does not gets to send all of it. The system wakes
us for it once for many bytes, not for each piece: what is refused must cost next to nothing.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import h11
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from laps_server.api.admission import is_classify
from laps_server.observe import now

LINGER_IDLE_S = 30.0  # for WAKE_BYTES: half the rate that an upload must have
LINGER_S = 60.0  # in all
LINGER_BYTES = 512 * 2**20
WAKE_BYTES = 256 * 2**10


class UnreadBodyMiddleware:
    """Says ``Connection: close`` in an answer to a request whose body was not read to its end."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if not is_classify(scope) or not _has_body(Headers(scope=scope)):
            await self._app(scope, receive, send)
            return
        at_end = False

        async def receive_watched() -> Message:
            nonlocal at_end
            message = await receive()
            at_end = at_end or not message.get("more_body", False)
            return message

        async def send_watched(message: Message) -> None:
            if message["type"] == "http.response.start" and not at_end:
                MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        await self._app(scope, receive_watched, send_watched)


def _has_body(headers: Headers) -> bool:
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


class LingeringProtocol(H11Protocol):
    """uvicorn's HTTP/1.1, whose connections close as told above."""

    _transport: LingeringTransport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """A client is there."""
        self._transport = LingeringTransport(transport, self._still_sends)
        super().connection_made(self._transport)  # type: ignore[arg-type]  # it has all that uvicorn uses

    def data_received(self, data: bytes) -> None:
        """Bytes of the client."""
        if self._transport.is_closing():
            self._transport.throw_away(data)
        else:
            super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._transport.forget()
        super().connection_lost(exc)

    def _still_sends(self) -> bool:
        return self.conn.their_state in (h11.SEND_BODY, h11.ERROR)


class LingeringTransport:
    """A transport whose :meth:`close` waits for a client that still sends."""

    def __init__(self, transport: asyncio.Transport, still_sends: Callable[[], bool]) -> None:
        self._transport = transport
        self._still_sends = still_sends
        self._timer: asyncio.TimerHandle | None = None
        self._ends = 0.0
        self._left_bytes = LINGER_BYTES
        self._closing = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        """Whether nothing more will be sent."""
        return self._closing or self._transport.is_closing()

    def close(self) -> None:
        """Close our side, and the connection once the client is through, or when told again."""
        if self.is_closing() or not self._still_sends() or not self._transport.can_write_eof():
            self._end()
            return
        self._closing = True
        self._ends = now() + LINGER_S
        self._transport.write_eof()
        self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, WAKE_BYTES)
        self._transport.resume_reading()
        self._wait()

    def throw_away(self, data: bytes) -> None:
        """The client still sends."""
        self._left_bytes -= len(data)
        if self._left_bytes < 0 or now() > self._ends:
            self._end()
        else:
            self._wait()

    def forget(self) -> None:
        """There is nothing to wait for any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self) -> None:
        self.forget()
        self._timer = asyncio.get_running_loop().call_later(LINGER_IDLE_S, self._end)

    def _end(self) -> None:
        self._closing = True
        self.forget()
        self._transport.close()
