"""What happens to every HTTP request: an id, an access log line, metrics, a trace, an envelope for uncaught errors.

Pure ASGI, so that bodies stream through untouched.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from laps_server.api.admission import CLASSIFY_PATH, is_classify
from laps_server.api.errors import STATUS, internal_error
from laps_server.api.security_headers import SECURITY_HEADERS
from laps_server.errors import InternalError
from laps_server.logs import FIELDS
from laps_server.metrics import OK, Metrics
from laps_server.observe import now
from laps_server.request_id import HEADER, choose_request_id, request_notes, set_request_id
from laps_server.trace_context import carry_trace

if TYPE_CHECKING:  # it is an extra
    from laps_server.tracing import RequestTrace, Traces

_LOG = logging.getLogger(__name__)
_MAX_LOGGED_PATH = 200
_METHODS = frozenset({"GET", "HEAD", "POST", "OPTIONS"})
_OTHER = "other"
_SERVER_FAILED = 500
_NO_STATUS = 499  # the client was gone before there was one; nginx's number


class RequestMiddleware:
    """The outermost layer of the app."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics | None = None, traces: Traces | None = None) -> None:
        self._app = app
        self._metrics = metrics
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
        except Exception:
            _LOG.exception("unhandled error")
            request_notes().code = InternalError.code
            if status is not None:  # half an answer is out: closing the connection is all that is left
                raise
            await internal_error()(scope, receive, send_with_id)
        finally:
            self._report(scope, status or _NO_STATUS, now() - began, trace)

    def _begin_trace(self, scope: Scope, request_id: str) -> RequestTrace | None:
        if self._traces is None or not is_classify(scope):
            return None
        headers = Headers(scope=scope)
        trace = self._traces.begin(headers, method=scope["method"], route=CLASSIFY_PATH, request_id=request_id)
        request_notes().observer = trace
        carry_trace(trace.headers)
        return trace

    def _report(self, scope: Scope, status: int, seconds: float, trace: RequestTrace | None) -> None:
        """Tell how it ended: to the log, to metrics, to the trace."""
        notes = request_notes()
        if self._metrics is not None:
            method = scope["method"] if scope["method"] in _METHODS else _OTHER
            self._metrics.answered(route=_route(scope), method=method, status=status, code=notes.code, seconds=seconds)
        if trace is not None:
            # Of a stream the status was sent before it failed.
            at_fault = STATUS.get(notes.code or OK, status) >= _SERVER_FAILED
            trace.end(status=status, code=notes.code, at_fault=at_fault, model=notes.model)
        fields = {
            "method": _printable(scope["method"]),
            "path": _printable(scope["path"]),
            "status": status,
            "outcome": notes.code or OK,
            "seconds": round(seconds, 4),
            "model": notes.model,
            "key_id": notes.key_id,
            "key": notes.key_name,
        }
        _LOG.info(
            "%s %s %d %s %.0f ms%s%s",
            fields["method"],
            fields["path"],
            status,
            fields["outcome"],
            1000 * seconds,
            f" {notes.model}" if notes.model else "",
            f" key {notes.key_id} {notes.key_name}" if notes.key_id else "",
            extra={FIELDS: {name: value for name, value in fields.items() if value is not None}},
        )


def _route(scope: Scope) -> str:
    """A label of few values: a path is the client's, so its template, which FastAPI found, stands for it."""
    found = CLASSIFY_PATH if is_classify(scope) else _OTHER  # one that was refused at the door found no route
    return str(getattr(scope.get("route"), "path", found))


def _printable(path: str) -> str:
    """A path as one harmless piece of a log line: servers decode escapes, line breaks among them."""
    return ascii(path[:_MAX_LOGGED_PATH])[1:-1]
