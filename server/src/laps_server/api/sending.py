"""An answer to its client piece by piece, so that what waits to be read is bounded and a reader that stalls is left."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing

from fastapi import Request
from fastapi.responses import Response
from starlette.types import Receive, Scope, Send

from laps_server.api.disconnect import unless_disconnected
from laps_server.errors import ClientClosed
from laps_server.request_id import request_notes

_LOG = logging.getLogger(__name__)

STALLED_READER_S = 60.0  # a client that reads nothing for so long must not hold a place
PIECE_BYTES = 64 * 1024


class HeldAnswer(Response):
    """A whole answer, with what is held until its client has it."""

    media_type = "application/json"

    def __init__(self, body: bytes, *, held: AsyncExitStack) -> None:
        super().__init__(body)
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; what was held is let go of when that ends, however it ends."""
        async with self._held:
            await send_to_reader(self, _once(bytes(self.body)), scope, receive, send)


async def _once(body: bytes) -> AsyncGenerator[bytes, None]:
    yield body


async def send_to_reader(
    response: Response, chunks: AsyncGenerator[bytes, None], scope: Scope, receive: Receive, send: Send
) -> None:
    """Send the head of ``response`` and ``chunks``, until their end, the client's, or that of its reading."""

    async def send_all() -> None:
        async with asyncio.timeout(STALLED_READER_S):
            await send({"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers})
        async with aclosing(chunks):
            async for chunk in chunks:
                for start in range(0, len(chunk), PIECE_BYTES):
                    await _send_body(send, chunk[start : start + PIECE_BYTES], more=True)
        await _send_body(send, b"", more=False)

    try:
        await unless_disconnected(Request(scope, receive), send_all())
    except ClientClosed:
        request_notes().code = ClientClosed.code
        _LOG.info("the client left during its answer")
    except TimeoutError:
        request_notes().code = ClientClosed.code
        _LOG.warning("the client read nothing for %g s, its answer was cut", STALLED_READER_S)


async def _send_body(send: Send, piece: bytes, *, more: bool) -> None:
    async with asyncio.timeout(STALLED_READER_S):
        await send({"type": "http.response.body", "body": piece, "more_body": more})
