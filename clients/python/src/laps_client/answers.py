"""One HTTP answer to a result or to an error of the tree; no I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from laps_client.errors import (
    BadAnswer,
    BadRequest,
    BadVideo,
    DeadlineExceeded,
    LapsError,
    NotFound,
    ServerError,
    TooLarge,
    Unavailable,
)
from laps_client.parsing import Mismatch, from_json
from laps_client.results import Readiness, Result
from laps_client.retry import retry_after_s

T = TypeVar("T", bound=Result)

OK = 200
NOT_READY = 503

# A code decides where its status alone would not: 422 is said of parameters and of videos.
_KIND_OF_CODE: dict[str, type[LapsError]] = {
    "media_error": BadVideo,
    "unsupported_container": BadVideo,
    "unsupported_codec": BadVideo,
    "no_video_stream": BadVideo,
    "video_corrupt": BadVideo,
    "resolution_too_large": BadVideo,
    "too_many_streams": BadVideo,
}
_KIND_OF_STATUS: dict[int, type[LapsError]] = {
    404: NotFound,
    408: Unavailable,
    413: TooLarge,
    415: BadVideo,
    429: Unavailable,
    502: Unavailable,
    503: Unavailable,
    504: DeadlineExceeded,
}


@dataclass(frozen=True, slots=True)
class Reply:
    """One whole answer; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes


@dataclass(frozen=True, slots=True)
class Envelope:
    """The server's own words about an error."""

    code: str
    message: str
    hint: str | None
    request_id: str | None


@dataclass(frozen=True, slots=True)
class ToldError:
    """An ``error`` event."""

    error: Envelope
    status: int
    retry_after_s: float | None


def result_of(kind: type[T], reply: Reply, request_id: str) -> T:
    """The result that a 200 carries.

    Raises:
        BadAnswer: it is not JSON, or not of that shape.
    """
    try:
        return from_json(kind, json.loads(reply.content))
    except (ValueError, RecursionError) as exc:  # ValueError is bad JSON and bad UTF-8
        raise bad_answer(f"not JSON, but {_media_type(reply)}", status=reply.status, request_id=request_id) from exc
    except Mismatch as exc:
        raise bad_answer(str(exc), status=reply.status, request_id=request_id) from exc


def readiness_of(reply: Reply, request_id: str) -> Readiness:
    """What ``/readyz`` says; a 503 that is not of the server itself is not ready either."""
    if reply.status == OK:
        return Readiness(ready=True, reason=None)
    reason = _json_object(reply).get("reason")
    return Readiness(ready=False, reason=reason if isinstance(reason, str) else error_of(reply, request_id).message)


def error_of(reply: Reply, request_id: str) -> LapsError:
    """The error that an answer other than 200 is: the server's envelope, or a proxy's own page."""
    envelope = _json_object(reply).get("error")
    told: dict[str, Any] = envelope if isinstance(envelope, dict) else {}
    code = _text(told, "code") or f"http_{reply.status}"
    return _kind_of(code, reply.status)(
        _text(told, "message") or f"HTTP {reply.status} with {_media_type(reply)}, without this API's error",
        code=code,
        hint=_text(told, "hint") or (None if told else _where_it_may_come_from(reply)),
        status=reply.status,
        request_id=_text(told, "request_id") or request_id,
        retry_after_s=retry_after_s(reply.headers, datetime.now(UTC)),
    )


def told_error(told: ToldError, request_id: str) -> LapsError:
    """The error that an ``error`` event is; its status is what the HTTP status would have been."""
    return _kind_of(told.error.code, told.status)(
        told.error.message,
        code=told.error.code,
        hint=told.error.hint,
        status=told.status,
        request_id=told.error.request_id or request_id,
        retry_after_s=told.retry_after_s,
    )


def bad_answer(what: str, *, status: int, request_id: str) -> BadAnswer:
    """What is not this API's answer."""
    return BadAnswer(
        what,
        code="bad_answer",
        hint="is base_url this API, and its version near the client's?",
        status=status,
        request_id=request_id,
    )


def _kind_of(code: str, status: int) -> type[LapsError]:
    return _KIND_OF_CODE.get(code) or _kind_of_status(status)


def _kind_of_status(status: int) -> type[LapsError]:
    if status in _KIND_OF_STATUS:
        return _KIND_OF_STATUS[status]
    if status >= 500:
        return ServerError
    return BadRequest if status >= 400 else BadAnswer


def _where_it_may_come_from(reply: Reply) -> str:
    if location := reply.headers.get("location"):
        return f"base_url may be wrong: it redirects to {location[:200]}"
    return "a proxy may have answered for the server, or base_url is another service"


def _json_object(reply: Reply) -> dict[str, Any]:
    try:
        document = json.loads(reply.content)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _text(document: Mapping[str, Any], key: str) -> str | None:
    value = document.get(key)
    return value if isinstance(value, str) and value else None


def _media_type(reply: Reply) -> str:
    return reply.headers.get("content-type", "").split(";")[0].strip() or "no content type"
