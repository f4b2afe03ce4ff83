"""The door: which paths need a key, whether the request has one, and whether that key has anything left.

Everything is decided by the request line and the headers, before a byte of the body is read. Health checks, the page's
files and the reference are open: a load balancer has no key, the page asks its reader for one, and the reference says
nothing that is not in the source.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Literal

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from laps_server.access.key_file import KeyFile
from laps_server.access.keys import ApiKey
from laps_server.access.quotas import Quotas
from laps_server.api.admission import is_classify
from laps_server.api.errors import respond
from laps_server.errors import Forbidden, LapsError, PathNotFound, Unauthorized
from laps_server.request_id import request_notes

Need = Literal["nothing", "key", "admin"]

_OPEN = frozenset({"/", "/livez", "/readyz", "/docs", "/openapi.json"})
_OPEN_BELOW = ("/web/", "/docs/")
_ADMIN_BELOW = "/admin/"
_INTERNAL = frozenset({"/metrics", "/docs", "/openapi.json"})
_INTERNAL_BELOW = ("/docs/", _ADMIN_BELOW)
_PROBES = frozenset({"/livez", "/readyz"})
_MAX_KEY = 200
_HINT = "send it as Authorization: Bearer KEY, or as X-API-Key: KEY"


class Door:
    """Who may come in.

    Args:
        keys: None where nobody needs a key.
        internal_port: where metrics, the reference and administration are answered, and nothing else but health checks;
            None where one port answers all.
    """

    def __init__(self, keys: KeyFile | None, internal_port: int | None) -> None:
        self._keys = keys
        self._internal_port = internal_port
        self._quotas = Quotas()

    def check(self, scope: Scope) -> ApiKey | None:
        """The key of a request that may come in, None where it needs none; nothing of its quota is taken.

        Raises:
            PathNotFound: this port does not answer it.
            Unauthorized, Forbidden: it needs a key, or another one.
            QuotaExceeded: its key has nothing left.
        """
        path = scope["path"]
        inside = self._internal_port is not None and (scope.get("server") or ("", None))[1] == self._internal_port
        if self._internal_port is not None and inside != _is_internal(path) and path not in _PROBES:
            raise PathNotFound("there is nothing at this path of this port")
        need = needed(path)
        if need == "nothing" or (inside and need == "key"):
            return None
        if self._keys is None:
            if need == "admin":
                raise Forbidden("administration needs a key", hint="start the server with keys_file (LAPS_KEYS_FILE)")
            return None
        key = self._keys.ring.find(_sent(Headers(scope=scope)))
        if key is None:
            raise Unauthorized("no valid key was sent", hint=_HINT)
        request_notes().key_id, request_notes().key_name = key.id, key.name
        _check_admin(key, need)
        if is_classify(scope):
            self._quotas.check(key)
        return key

    @contextmanager
    def enter(self, scope: Scope) -> Iterator[None]:
        """Let a request in, and hold its share of its key's quota.

        Raises:
            LapsError: as :meth:`check`.
        """
        key = self.check(scope)
        if key is None or not is_classify(scope):
            yield
            return
        with self._quotas.use(key):
            yield


class AccessMiddleware:
    """Lets requests in that may come in."""

    def __init__(self, app: ASGIApp, *, door: Door) -> None:
        self._app = app
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it."""
        with ExitStack() as share:
            if scope["type"] == "http":
                try:
                    share.enter_context(self._door.enter(scope))
                except LapsError as exc:
                    await respond(exc)(scope, receive, send)
                    return
            await self._app(scope, receive, send)


def needed(path: str) -> Need:
    """What a request for ``path`` must bring where there are keys."""
    if path.startswith(_ADMIN_BELOW):
        return "admin"
    return "nothing" if path in _OPEN or path.startswith(_OPEN_BELOW) else "key"


def _is_internal(path: str) -> bool:
    return path in _INTERNAL or path.startswith(_INTERNAL_BELOW)


def _check_admin(key: ApiKey, need: Need) -> None:
    if need == "admin" and not key.admin:
        raise Forbidden(
            f"key {key.name!r} may not do this", hint="laps-server keys add NAME --admin makes one that may"
        )


def _sent(headers: Headers) -> str:
    """The key of a request, empty where there is none."""
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    sent = credentials.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
    return sent[:_MAX_KEY]
