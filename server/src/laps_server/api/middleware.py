"""What happens to every HTTP request: an id, an access log line, and an envelope for uncaught errors.

Pure ASGI, so that bodies stream through untouched.
"""

from __future__ import annotations

import logging

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from laps_server.api.errors import internal_error
from laps_server.api.security_headers import SECURITY_HEADERS
from laps_server.metrics import Metrics
from laps_server.observe import now
from laps_server.request_id import HEADER, choose_request_id, request_notes, set_request_id

_LOG = logging.getLogger(__name__)
_MAX_LOGGED_PATH = 200
_METHODS = frozenset({"GET", "HEAD", "POST", "OPTIONS"})
_OTHER = "other"
_NO_STATUS = 499  # the client was gone before there was one; nginx's number


class RequestMiddleware:
    """The outermost layer of the app."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics | None = None) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = choose_request_id(Headers(scope=scope).get(HEADER))
        set_request_id(request_id)
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
            if status is not None:  # half an answer is out: closing the connection is all that is left
                raise
            await internal_error()(scope, receive, send_with_id)
        finally:
            elapsed_s = now() - began
            self._count(scope, status, elapsed_s)
            whose = "" if (key_id := request_notes().key_id) is None else f" key {key_id}"
            _LOG.info("%s %s %s %.0f ms%s", scope["method"], _printable(scope["path"]), status, 1000 * elapsed_s, whose)

    def _count(self, scope: Scope, status: int | None, seconds: float) -> None:
        if self._metrics is None:
            return
        route = getattr(scope.get("route"), "path", _OTHER)  # the template, which FastAPI found: paths are the client's
        method = scope["method"] if scope["method"] in _METHODS else _OTHER
        self._metrics.answered(
            route=route, method=method, status=status or _NO_STATUS, code=request_notes().code, seconds=seconds
        )


def _printable(path: str) -> str:
    """A path as one harmless piece of a log line: servers decode escapes, line breaks among them."""
    return ascii(path[:_MAX_LOGGED_PATH])[1:-1]
