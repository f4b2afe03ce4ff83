"""The app behind Ray's proxy: the same, but for what a proxy changes.

::

    client ── Ray's proxy ── ProxiedApp ─┐
    client ── a replica's own port ──────┴─ the app

- Ray's part of the replica, and its proxy in Python, keep an upload in memory however slowly it is read. So uploads are
  bounded more tightly here, and the refusal says where larger ones go.
- It picks one replica of many. What is about one replica, as its metrics, would be about any one: that is refused here.
- It reads on what a client sends after its answer, and adds the request's id: neither has to be done twice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from laps_server.api.errors import respond
from laps_server.api.replicas import REPLICAS_PATH
from laps_server.api.uploads import MULTIPART_OVERHEAD_BYTES
from laps_server.errors import PathNotFound, TooLarge
from laps_server.request_id import HEADER, choose_request_id, set_request_id

_OF_ONE_REPLICA = "/metrics"
_OF_ONE_REPLICA_BELOW = "/admin/"
_MIB = 2**20


class ProxiedApp:
    """An ASGI app.

    Args:
        app: what answers.
        max_upload_bytes: largest upload that is read.
        before_shutdown: awaited before the app is told to shut down.
    """

    def __init__(self, app: ASGIApp, *, max_upload_bytes: int, before_shutdown: Callable[[], Awaitable[None]]) -> None:
        self._app = app
        self._max_upload_bytes = max_upload_bytes
        self._before_shutdown = before_shutdown

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or begin and end the app."""
        if scope["type"] == "lifespan":
            await self._app(scope, self._receive_lifespan(receive), send)
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        sent_id = headers.get(HEADER)

        async def send_without_what_the_proxy_does(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                del answer["Connection"]
                if answer.get(HEADER) == sent_id:
                    del answer[HEADER]
            await send(message)

        path = scope["path"]
        if path == _OF_ONE_REPLICA or path.startswith(_OF_ONE_REPLICA_BELOW):
            set_request_id(choose_request_id(sent_id))
            hint = f"each replica answers it on its own port; {REPLICAS_PATH} lists them"
            answer = respond(PathNotFound(f"{path} is of one replica, and the proxy would pick any", hint=hint))
            await answer(scope, receive, send_without_what_the_proxy_does)
            return
        await self._app(scope, self._receive_bounded(headers, receive), send_without_what_the_proxy_does)

    def _receive_lifespan(self, receive: Receive) -> Receive:
        async def receive_lifespan() -> Message:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                await self._before_shutdown()
            return message

        return receive_lifespan

    def _receive_bounded(self, headers: Headers, receive: Receive) -> Receive:
        """Where the body is too large, the app gets an error in its place, which it answers as any other."""
        most = self._max_upload_bytes + MULTIPART_OVERHEAD_BYTES
        declared = headers.get("content-length", "")
        total = int(declared) if declared.isdecimal() else 0
        too_large = total > most
        total = 0

        async def receive_bounded() -> Message:
            nonlocal total, too_large
            message: Message = {} if too_large else await receive()
            total += len(message.get("body", b""))
            if too_large or total > most:
                too_large = True
                raise TooLarge(
                    f"the upload is larger than {self._max_upload_bytes} bytes ({self._max_upload_bytes / _MIB:.0f} "
                    "MiB), which Ray would keep in memory",
                    hint=f"send it to a replica's own port, of those that {REPLICAS_PATH} lists, or make it smaller",
                )
            return message

        return receive_bounded
