"""What never becomes a request gets the envelope too: such bytes do not reach the app, uvicorn answers them by itself.

That is what is no HTTP, and a head that does not end in time: without a bound, a connection that sends a byte now and
then would hold its descriptor for as long as it likes.
"""

from __future__ import annotations

import asyncio

import h11

from laps_server.api.errors import STATUS, envelope_bytes
from laps_server.api.security_headers import SECURITY_HEADERS
from laps_server.api.unread_body import LingeringProtocol
from laps_server.errors import BadRequest, LapsError, SlowUpload
from laps_server.request_id import HEADER, choose_request_id, set_request_id

HEAD_TIMEOUT_S = 30.0
_REASONS = {400: b"Bad Request", 408: b"Request Timeout"}


class EnvelopeProtocol(LingeringProtocol):
    """uvicorn's HTTP/1.1 with our answer to what it cannot parse, and a bound of the time that a head takes.

    It is h11 and not httptools, which sends chunks to HTTP/1.0 clients too, and these do not know them; h11's answers
    to them end by closing.
    """

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Await the first head."""
        super().connection_made(transport)
        self._watch_head()

    def data_received(self, data: bytes) -> None:
        """Go on, and await the rest of a head that has begun."""
        super().data_received(data)
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is awaited any more."""
        self._forget_head()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, and close."""
        self._refuse(BadRequest(msg, hint="send HTTP/1.1, as HTTP libraries write it"))

    def _watch_head(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._forget_head()
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self._on_slow_head)

    def _forget_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _on_slow_head(self) -> None:
        begun, _ = self.conn.trailing_data
        if begun:
            hint = "send the request again over a steady connection"
            self._refuse(SlowUpload(f"the request's headers took longer than {HEAD_TIMEOUT_S:g} s", hint=hint))
        else:
            self.transport.close()

    def _refuse(self, error: LapsError) -> None:
        """Answer and close; close alone where an answer has begun."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            request_id = choose_request_id(None)
            set_request_id(request_id)
            body = envelope_bytes(error)
            status = STATUS[error.code]
            headers = SECURITY_HEADERS | {
                "content-type": "application/json",
                "content-length": str(len(body)),
                "connection": "close",
                HEADER: request_id,
            }
            for event in (
                h11.Response(status_code=status, headers=list(headers.items()), reason=_REASONS[status]),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
