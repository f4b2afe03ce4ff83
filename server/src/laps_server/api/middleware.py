"""What happens to every HTTP request: an id, an access log line, metrics, a trace, an envelope for uncaught errors.

Pure ASGI, so that bodies stream through untouched.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from laps_server.api.admission import CLASSIFY_PATH, is_classify
from laps_server.api.errors import STATUS, internal_error
from laps_server.api.request_report import RequestReport
from laps_server.api.security_headers import SECURITY_HEADERS
from laps_server.errors import ClientClosed, InternalError
from laps_server.metrics import OK
from laps_server.observe import now
from laps_server.request_id import HEADER, choose_request_id, request_notes, set_request_id
from laps_server.trace_context import carry_trace

if TYPE_CHECKING:  # it is an extra
    from laps_server.tracing import RequestTrace, Traces

_LOG = logging.getLogger(__name__)
_SERVER_FAILED = 500
_NO_STATUS = 499  # the client was gone before there was one; nginx's number


class RequestMiddleware:
    """The outermost layer of the app."""

    def __init__(self, app: ASGIApp, *, report: RequestReport, traces: Traces | None = None) -> None:
        self._app = app
        self._report = report
        self._traces = traces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = choose_request_id(Headers(scope=scope).get(HEADER))
        set_request_id(request_id)
        trace = self._begin_trace(scope, request_id)
        began = now()
        status: int | None = None

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers[HEADER] = request_id
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except asyncio.CancelledError:  # what runs the app gives the request up: so does Ray's when a client has left
            request_notes().code = ClientClosed.code
            raise
        except Exception:
            _LOG.exception("unhandled error")
            request_notes().code = InternalError.code
            if status is not None:  # half an answer is out: closing the connection is all that is left
                raise
            await internal_error()(scope, receive, send_with_id)
        finally:
            self._report.tell(scope, status=status or _NO_STATUS, seconds=now() - began)
            if trace is not None:
                self._end_trace(trace, status or _NO_STATUS)

    def _begin_trace(self, scope: Scope, request_id: str) -> RequestTrace | None:
        if self._traces is None or not is_classify(scope):
            return None
        headers = Headers(scope=scope)
        trace = self._traces.begin(headers, method=scope["method"], route=CLASSIFY_PATH, request_id=request_id)
        request_notes().observer = trace
        carry_trace(trace.headers)
        return trace

    def _end_trace(self, trace: RequestTrace, status: int) -> None:
        notes = request_notes()
        # Of a stream the status was sent before it failed.
        at_fault = STATUS.get(notes.code or OK, status) >= _SERVER_FAILED
        trace.end(status=status, code=notes.code, at_fault=at_fault, model=notes.model)
