"""Translates httpx's exceptions into ours, by one table that names every one of them.

An exception that a later httpx adds is translated as its nearest listed base.
"""

from __future__ import annotations

from dataclasses import dataclass

import httpx

from laps_client.errors import BadAnswer, BadRequest, ConnectionFailed, LapsError, TimedOut


@dataclass(frozen=True, slots=True)
class Translation:
    """Which of our errors an exception of httpx becomes, and whether the same request may be sent again."""

    becomes: type[LapsError]
    code: str
    retry: bool
    hint: str | None = None


_LOST = Translation(ConnectionFailed, "connection_lost", retry=True)
_FOREIGN_ANSWER = Translation(BadAnswer, "bad_answer", retry=False)
_MISUSED = Translation(ConnectionFailed, "connection_lost", retry=False, hint="was the client closed meanwhile?")
_ADDRESS = Translation(BadRequest, "bad_address", retry=False, hint="base_url is like http://127.0.0.1:8000")

TRANSLATIONS: dict[type[Exception], Translation] = {
    httpx.HTTPError: _LOST,
    httpx.RequestError: _LOST,
    httpx.TransportError: _LOST,
    httpx.NetworkError: _LOST,
    httpx.ReadError: _LOST,
    httpx.WriteError: _LOST,
    httpx.CloseError: _LOST,
    httpx.ConnectError: Translation(
        ConnectionFailed, "connect_failed", retry=True, hint="is the server running there?"
    ),
    httpx.ProxyError: Translation(ConnectionFailed, "proxy_failed", retry=False, hint="check the proxy settings"),
    httpx.ProtocolError: _LOST,
    httpx.RemoteProtocolError: _LOST,  # mostly an answer that was cut short
    httpx.LocalProtocolError: Translation(BadRequest, "bad_request", retry=False),
    httpx.TimeoutException: Translation(TimedOut, "timeout", retry=False),
    httpx.ConnectTimeout: Translation(TimedOut, "connect_timeout", retry=True),
    httpx.WriteTimeout: Translation(TimedOut, "write_timeout", retry=True),
    # The work was too much for the time; sending it again would only double it.
    httpx.ReadTimeout: Translation(TimedOut, "read_timeout", retry=False, hint="raise read_s, or set deadline_s"),
    httpx.PoolTimeout: Translation(
        TimedOut, "pool_timeout", retry=False, hint="too many concurrent requests on one client"
    ),
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

# The roots of httpx's trees: who catches these catches all of them.
HTTPX_ERRORS = (httpx.HTTPError, httpx.InvalidURL, httpx.CookieConflict, httpx.StreamError)


def translation_of(exc: Exception) -> Translation:
    """The table's entry for an exception of :data:`HTTPX_ERRORS`, by its nearest listed class."""
    return next(TRANSLATIONS[base] for base in type(exc).__mro__ if base in TRANSLATIONS)


def translated(exc: Exception, *, where: str, request_id: str | None = None) -> LapsError:
    """The exception as one of ours; ``where`` names the server."""
    translation = translation_of(exc)
    detail = str(exc) or type(exc).__name__
    return translation.becomes(
        f"{where}: {detail}", code=translation.code, hint=translation.hint, request_id=request_id
    )
