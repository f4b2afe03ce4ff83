"""How many classify requests are in flight, and whether one more may come in.

A request holds its place from before its body is read until its answer has been handed to the connection, so that
a drain waits for all of it. That span is only seen from outside the app: hence a middleware.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from starlette.types import ASGIApp, Receive, Scope, Send

from laps_server.api.errors import respond
from laps_server.errors import LapsError, Overloaded
from laps_server.runtime import Runtime

CLASSIFY_PATH = "/classify"


def is_classify(scope: Scope) -> bool:
    """Whether this is a request that decodes and runs a model."""
    found: tuple[str, str, str] = (scope["type"], scope.get("method", ""), scope.get("path", ""))
    return found == ("http", "POST", CLASSIFY_PATH)


class Admission:
    """Counts the requests in flight."""

    def __init__(self, runtime: Runtime, *, max_requests: int) -> None:
        self._runtime = runtime
        self._max_requests = max_requests
        self._active = 0

    @property
    def active(self) -> int:
        """Requests in flight."""
        return self._active

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Hold one place.

        Raises:
            Overloaded, ShuttingDown: there is none now.
        """
        self._runtime.admit()
        if self._active >= self._max_requests:
            raise Overloaded(
                f"{self._active} requests are in flight, which is the limit", hint="send the request again later"
            )
        self._active += 1
        try:
            yield
        finally:
            self._active -= 1


class AdmissionMiddleware:
    """Lets classify requests in while there is room."""

    def __init__(self, app: ASGIApp, *, admission: Admission) -> None:
        self._app = app
        self._admission = admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it before anything of it is read."""
        with ExitStack() as place:
            if is_classify(scope):
                try:
                    place.enter_context(self._admission.enter())
                except LapsError as exc:
                    await respond(exc)(scope, receive, send)
                    return
            await self._app(scope, receive, send)
