"""httpx's exceptions as ours: one table, which names every one of them.

A later httpx may add to its tree; what it adds resolves to its nearest listed base.
"""

from __future__ import annotations

from dataclasses import dataclass

import httpx

from laps_client.errors import BadAnswer, BadRequest, ConnectionFailed, LapsError, TimedOut


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a foreign exception says here, and whether the same request may be sent again."""

    kind: type[LapsError]
    code: str
    retry: bool
    hint: str | None = None


_LOST = Meaning(ConnectionFailed, "connection_lost", retry=True)
_FOREIGN_ANSWER = Meaning(BadAnswer, "bad_answer", retry=False)
_MISUSED = Meaning(ConnectionFailed, "connection_lost", retry=False, hint="was the client closed during the call?")
_ADDRESS = Meaning(BadRequest, "bad_address", retry=False, hint="base_url is like http://127.0.0.1:8000")

MEANINGS: dict[type[Exception], Meaning] = {
    httpx.HTTPError: _LOST,
    httpx.RequestError: _LOST,
    httpx.TransportError: _LOST,
    httpx.NetworkError: _LOST,
    httpx.ReadError: _LOST,
    httpx.WriteError: _LOST,
    httpx.CloseError: _LOST,
    httpx.ConnectError: Meaning(ConnectionFailed, "connect_failed", retry=True, hint="is the server running there?"),
    httpx.ProxyError: Meaning(ConnectionFailed, "proxy_failed", retry=False, hint="check the proxy settings"),
    httpx.ProtocolError: _LOST,
    httpx.RemoteProtocolError: _LOST,  # mostly an answer that was cut short
    httpx.LocalProtocolError: Meaning(BadRequest, "bad_request", retry=False),
    httpx.TimeoutException: Meaning(TimedOut, "timeout", retry=False),
    httpx.ConnectTimeout: Meaning(TimedOut, "connect_timeout", retry=True),
    httpx.WriteTimeout: Meaning(TimedOut, "write_timeout", retry=True),
    # The work was too much for the time; asking for the same again would only double it.
    httpx.ReadTimeout: Meaning(TimedOut, "read_timeout", retry=False, hint="raise read_s, or give the call a deadline"),
    httpx.PoolTimeout: Meaning(TimedOut, "pool_timeout", retry=False, hint="too many calls at once on one client"),
    httpx.UnsupportedProtocol: _ADDRESS,
    httpx.InvalidURL: _ADDRESS,
    httpx.DecodingError: _FOREIGN_ANSWER,
    httpx.TooManyRedirects: _FOREIGN_ANSWER,
    httpx.HTTPStatusError: _FOREIGN_ANSWER,
    httpx.CookieConflict: _FOREIGN_ANSWER,
    httpx.StreamError: _MISUSED,
    httpx.StreamConsumed: _MISUSED,
    httpx.StreamClosed: _MISUSED,
    httpx.RequestNotRead: _MISUSED,
    httpx.ResponseNotRead: _MISUSED,
}

# The roots of httpx's trees: what a call has to catch so that none passes by.
FOREIGN = (httpx.HTTPError, httpx.InvalidURL, httpx.CookieConflict, httpx.StreamError)


def meaning_of(exc: Exception) -> Meaning:
    """The table's entry for an exception of :data:`FOREIGN`, by its nearest listed class."""
    return next(MEANINGS[kind] for kind in type(exc).__mro__ if kind in MEANINGS)


def translated(exc: Exception, *, where: str, request_id: str | None = None) -> LapsError:
    """The exception as one of ours; ``where`` names the server."""
    meaning = meaning_of(exc)
    detail = str(exc) or type(exc).__name__
    return meaning.kind(f"{where}: {detail}", code=meaning.code, hint=meaning.hint, request_id=request_id)
