"""What is no HTTP at all gets the envelope too: such bytes never reach the app, uvicorn answers them by itself."""

from __future__ import annotations

import h11

from laps_server.api.errors import envelope_bytes
from laps_server.api.unread_body import LingeringProtocol
from laps_server.errors import BadRequest
from laps_server.request_id import HEADER, choose_request_id, set_request_id


class EnvelopeProtocol(LingeringProtocol):
    """uvicorn's HTTP/1.1 with our answer to what it cannot parse.

    It is h11 and not httptools, which sends chunks to HTTP/1.0 clients too, and these do not know them; h11's answers
    to them end by closing.
    """

    def send_400_response(self, msg: str) -> None:
        """Answer and close; close alone where an answer has begun."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            request_id = choose_request_id(None)
            set_request_id(request_id)
            body = envelope_bytes(BadRequest(msg, hint="send HTTP/1.1, as HTTP libraries write it"))
            headers = {
                "content-type": "application/json",
                "content-length": str(len(body)),
                "connection": "close",
                HEADER: request_id,
            }
            for event in (
                h11.Response(status_code=400, headers=list(headers.items()), reason=b"Bad Request"),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
