"""Requests that would be refused for want of time or room are refused before they become requests.

With five times as many requests as a server can answer, four of five are refused, and each through HTTP's parser, the
app and its layers takes a hundredth of what an answer takes: a twentieth of the processor, of which answers are made.
So a connection's first bytes are looked at: a classify request that the door and admission would let in, or that is
anything out of the ordinary, goes its usual way, and the rest gets here the answer that it would get there.
"""

from __future__ import annotations

import asyncio
import re
from contextvars import Context, copy_context
from functools import partial
from http import HTTPStatus
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Scope
from uvicorn import Config
from uvicorn.server import ServerState

from laps_server.api import malformed
from laps_server.api.access import Door
from laps_server.api.admission import CLASSIFY_PATH, Admission
from laps_server.api.errors import respond
from laps_server.api.request_report import RequestReport
from laps_server.api.security_headers import SECURITY_HEADERS
from laps_server.api.unread_body import LingeringTransport
from laps_server.errors import LapsError
from laps_server.observe import now
from laps_server.request_id import HEADER, choose_request_id, current_request_id, set_request_id

REPORT_S = 0.25  # so much later than it happened, a refusal is in the log and in metrics
_END = b"\r\n\r\n"
_MAX_HEAD_BYTES = 8 * 2**10
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_HEAD = re.compile(
    rb"POST " + CLASSIFY_PATH.encode() + rb"(?:\?([!-\"$-~]*))? HTTP/1\.1((?:\r\n" + _TOKEN + rb":[\t -~]*)+)"
)
_LENGTH = re.compile(rb"[1-9][0-9]{0,14}")
# A browser reads an answer across sites only with headers that the app adds, and a proxy tells who the client is.
_UNUSUAL = frozenset({b"origin", b"x-forwarded-for", b"transfer-encoding", b"upgrade"})
_SECURITY = [(name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]
_PHRASES = {status.value: status.phrase.encode() for status in HTTPStatus}


class EarlyRefusals:
    """The answers to requests that would be refused, from the bytes of their heads."""

    def __init__(self, *, door: Door, admission: Admission, report: RequestReport, two_ports: bool) -> None:
        self._door = door
        self._two_ports = two_ports
        self._admission = admission
        self._report = report
        self._untold: list[tuple[Context, Scope, int, float]] = []

    def answer(self, data: bytes, transport: asyncio.Transport) -> Response | None:
        """A refusal, reported soon; None where the request has to go its usual way, which it then takes unchanged.

        Args:
            data: the first bytes of a connection.
            transport: of it.
        """
        scope = _scope(data)
        if scope is None:
            return None
        began = now()
        sent = Headers(scope=scope).get(HEADER)
        request_id = choose_request_id(sent)
        set_request_id(request_id)
        if self._two_ports:
            scope["server"] = transport.get_extra_info("sockname")
        if request_id != sent:  # else it is the request that is known again
            scope["client"] = transport.get_extra_info("peername")
        try:
            self._door.check(scope)
        except LapsError:
            return None
        try:
            self._admission.check(scope)
        except LapsError as exc:
            answer = respond(exc)
        else:
            return None
        self._tell_soon(scope, answer.status_code, now() - began)
        return answer

    def tell(self) -> None:
        """Report what was refused and has not been reported yet."""
        untold, self._untold = self._untold, []
        for context, scope, status, seconds in untold:
            context.run(partial(self._report.tell, scope, status=status, seconds=seconds))

    def _tell_soon(self, scope: Scope, status: int, seconds: float) -> None:
        """Many in one go: a log line and metrics alone, between decoders, cost as much as the rest of a refusal."""
        if not self._untold:
            asyncio.get_running_loop().call_later(REPORT_S, self.tell)
        self._untold.append((copy_context(), scope, status, seconds))


class FrontProtocol(asyncio.Protocol):
    """A connection until its first bytes are there: then it is refused, or becomes HTTP.

    uvicorn makes it as it makes its own protocols. The app has its :class:`EarlyRefusals` as ``state.early_refusals``;
    one without any refuses nothing early.
    """

    _transport: LingeringTransport

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._arguments = (config, server_state, app_state, _loop)
        self._connections = server_state.connections
        self._date = server_state.default_headers
        self._refusals: EarlyRefusals | None = getattr(config.app.state, "early_refusals", None)  # type: ignore[union-attr]
        self._loop = _loop or asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """A client is there, and has some time to say something."""
        self._plain = transport
        self._transport = LingeringTransport(transport, lambda: True)
        self._connections.add(self)  # type: ignore[arg-type]  # it has the shutdown() that is asked for
        self._timer = self._loop.call_later(malformed.HEAD_TIMEOUT_S, transport.close)

    def data_received(self, data: bytes) -> None:
        """Refuse, or hand the connection over; what comes after a refusal is thrown away."""
        if self._transport.is_closing():
            self._transport.throw_away(data)
            return
        self._forget_timer()
        answer = self._refusals.answer(data, self._plain) if self._refusals is not None else None
        if answer is not None:
            self._transport.write(_bytes(answer, self._date))
            self._transport.close()
            return
        self._connections.discard(self)
        protocol = malformed.EnvelopeProtocol(*self._arguments)
        self._plain.set_protocol(protocol)
        protocol.connection_made(self._plain)
        protocol.data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's name
        """The client is gone."""
        self._forget_timer()
        self._transport.forget()
        self._connections.discard(self)

    def shutdown(self) -> None:
        """The server ends: uvicorn asks every connection to."""
        self._plain.close()

    def _forget_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _scope(data: bytes) -> Scope | None:
    """What ASGI says of a classify request with a body; None of anything else, or of a head that is not all there.

    The bytes are held against a narrow form, so that whatever HTTP's parser would refuse or read otherwise is left to
    it.
    """
    end = data.find(_END, 0, _MAX_HEAD_BYTES)
    found = _HEAD.fullmatch(data, 0, end) if end > 0 else None
    if found is None:
        return None
    lines = (line.split(b":", 1) for line in found[2].split(b"\r\n")[1:])
    headers = [(name.lower(), value.strip(b" \t")) for name, value in lines]
    named = dict(headers)
    if len(named) < len(headers) or _UNUSUAL & named.keys() or b"host" not in named:
        return None
    if not _LENGTH.fullmatch(named.get(b"content-length", b"")):
        return None
    return {
        "type": "http",
        "method": "POST",
        "path": CLASSIFY_PATH,
        "query_string": found[1] or b"",
        "headers": headers,
    }


def _bytes(answer: Response, date: list[tuple[bytes, bytes]]) -> bytes:
    """An answer as HTTP/1.1 that ends its connection."""
    headers = [
        *date,
        *answer.raw_headers,
        (b"connection", b"close"),
        (HEADER.encode(), current_request_id().encode()),
        *_SECURITY,
    ]
    lines = [b"%s: %s" % pair for pair in headers]
    status = answer.status_code
    return b"\r\n".join([b"HTTP/1.1 %d %s" % (status, _PHRASES[status]), *lines, b"", bytes(answer.body)])
