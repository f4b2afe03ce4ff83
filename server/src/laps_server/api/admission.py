"""How many classify requests are in flight, and whether one more may come in.

A request holds its place from before its body is read until its answer has been handed to the connection, so that
a drain waits for all of it. That span is only seen from outside the app: hence a middleware.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from laps_server.admission_forecast import Arrival
from laps_server.api.asked import asked
from laps_server.api.errors import respond
from laps_server.errors import LapsError
from laps_server.observe import now
from laps_server.request_id import HEADER, current_request_id, request_notes
from laps_server.runtime import Runtime
from laps_server.settings import Settings

CLASSIFY_PATH = "/classify"


def is_classify(scope: Scope) -> bool:
    """Whether this is a request that decodes and runs a model."""
    found: tuple[str, str, str] = (scope["type"], scope.get("method", ""), scope.get("path", ""))
    return found == ("http", "POST", CLASSIFY_PATH)


class Admission:
    """Counts the requests in flight."""

    def __init__(self, runtime: Runtime, settings: Settings) -> None:
        self._runtime = runtime
        self._settings = settings
        self._max_requests = settings.max_requests
        self._active = 0

    @property
    def active(self) -> int:
        """Requests in flight."""
        return self._active

    @property
    def max_requests(self) -> int:
        """Most requests in flight."""
        return self._max_requests

    @contextmanager
    def enter(self, scope: Scope) -> Iterator[None]:
        """Hold one place.

        Raises:
            Overloaded: there is none now, or the request would be late.
            ShuttingDown: there will be none.
        """
        forecast = self._runtime.forecast
        forecast.let_in(self.check(scope))
        self._active += 1
        try:
            yield
        finally:
            self._active -= 1
            forecast.place_left(active=self._active, places=self._max_requests)

    def check(self, scope: Scope) -> Arrival:
        """Refuse what :meth:`enter` would refuse; where it would not, nothing changes.

        Raises:
            Overloaded, ShuttingDown: as there.
        """
        self._runtime.admit()
        forecast = self._runtime.forecast
        arrival = forecast.arrive(_who(scope))
        served = self._runtime.served
        forecast.check_places(arrival, active=self._active, places=self._max_requests, busy_s=lambda: served.busy_s)
        if (options := asked(scope, self._settings, arrived=now())) is not None:
            self._runtime.check_in_time(arrival, options)
        return arrival


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
                    place.enter_context(self._admission.enter(scope))
                except LapsError as exc:
                    await respond(exc)(scope, receive, send)
                    return
            await self._app(scope, receive, send)


def _who(scope: Scope) -> str:
    """Whom a refusal tells to come back: by the id that the client sends, else by its key, else by its address."""
    sent = Headers(scope=scope).get(HEADER)
    if sent is not None and sent == current_request_id():
        return f"request {sent}"
    if (key_id := request_notes().key_id) is not None:
        return f"key {key_id}"
    client = scope.get("client")
    return f"address {client[0] if client else ''}"
