"""From one HTTP response to a result, or to an error of the tree; no I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from laps_client._parsing import Mismatch, from_json
from laps_client._results import Readiness, Result
from laps_client._retry_policy import retry_after_s
from laps_client.errors import (
    BadAnswer,
    BadRequest,
    BadVideo,
    DeadlineExceeded,
    Forbidden,
    LapsError,
    NotFound,
    QuotaExceeded,
    ServerError,
    TooLarge,
    Unauthorized,
    Unavailable,
)

T = TypeVar("T", bound=Result)

OK = 200
NOT_READY = 503

# A code decides where its status alone would not: 422 is answered to bad parameters and to bad videos.
_CLASS_OF_CODE: dict[str, type[LapsError]] = {
    "media_error": BadVideo,
    "unsupported_container": BadVideo,
    "unsupported_codec": BadVideo,
    "no_video_stream": BadVideo,
    "video_corrupt": BadVideo,
    "resolution_too_large": BadVideo,
    "too_many_streams": BadVideo,
    "decoder_crashed": BadVideo,
}
_CLASS_OF_STATUS: dict[int, type[LapsError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    408: Unavailable,
    413: TooLarge,
    415: BadVideo,
    429: QuotaExceeded,
    502: Unavailable,
    503: Unavailable,
    504: DeadlineExceeded,
}


@dataclass(frozen=True, slots=True)
class ReadResponse:
    """A response read to its end; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """What the server says of an error."""

    code: str
    message: str
    hint: str | None
    request_id: str


@dataclass(frozen=True, slots=True)
class ErrorEvent:
    """An ``error`` event."""

    error: ErrorBody
    status: int
    retry_after_s: float | None


def result_of(expected: type[T], response: ReadResponse, request_id: str) -> T:
    """The result in a 200.

    Raises:
        BadAnswer: it is not JSON, or not of that shape.
    """
    try:
        return from_json(expected, json.loads(response.content))
    except (ValueError, RecursionError) as exc:  # ValueError is bad JSON and bad UTF-8
        raise bad_answer(
            f"not JSON, but {_media_type(response)}", status=response.status, request_id=request_id
        ) from exc
    except Mismatch as exc:
        raise bad_answer(str(exc), status=response.status, request_id=request_id) from exc


def readiness_of(response: ReadResponse, request_id: str) -> Readiness:
    """What ``/readyz`` says; a 503 of a proxy means not ready too."""
    if response.status == OK:
        return Readiness(ready=True, reason=None)
    reason = _json_object(response).get("reason")
    return Readiness(ready=False, reason=reason if isinstance(reason, str) else error_of(response, request_id).message)


def error_of(response: ReadResponse, request_id: str) -> LapsError:
    """The error of a response other than 200: the server's own, or one made up for a proxy's page."""
    found = _json_object(response).get("error")
    error: dict[str, Any] = found if isinstance(found, dict) else {}
    code = _text(error, "code") or f"http_{response.status}"
    return _class_of(code, response.status)(
        _text(error, "message") or f"HTTP {response.status} with {_media_type(response)}, without this API's error",
        code=code,
        hint=_text(error, "hint") or (None if error else _where_it_may_come_from(response)),
        status=response.status,
        request_id=_text(error, "request_id") or request_id,
        retry_after_s=retry_after_s(response.headers, datetime.now(UTC)),
    )


def error_of_event(event: ErrorEvent) -> LapsError:
    """The error of an ``error`` event, whose status is what the HTTP status would have been."""
    return _class_of(event.error.code, event.status)(
        event.error.message,
        code=event.error.code,
        hint=event.error.hint,
        status=event.status,
        request_id=event.error.request_id,
        retry_after_s=event.retry_after_s,
    )


def bad_answer(what: str, *, status: int, request_id: str) -> BadAnswer:
    """The error of an answer that is not this API's."""
    return BadAnswer(
        what,
        code="bad_answer",
        hint="is base_url this API, and its version near the client's?",
        status=status,
        request_id=request_id,
    )


def _class_of(code: str, status: int) -> type[LapsError]:
    return _CLASS_OF_CODE.get(code) or _class_of_status(status)


def _class_of_status(status: int) -> type[LapsError]:
    if status in _CLASS_OF_STATUS:
        return _CLASS_OF_STATUS[status]
    if status >= 500:
        return ServerError
    return BadRequest if status >= 400 else BadAnswer


def _where_it_may_come_from(response: ReadResponse) -> str:
    if location := response.headers.get("location"):
        return f"base_url may be wrong: it redirects to {location[:200]}"
    return "a proxy may have answered for the server, or base_url is another service"


def _json_object(response: ReadResponse) -> dict[str, Any]:
    try:
        document = json.loads(response.content)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _text(document: Mapping[str, Any], key: str) -> str | None:
    value = document.get(key)
    return value if isinstance(value, str) and value else None


def _media_type(response: ReadResponse) -> str:
    return response.headers.get("content-type", "").split(";")[0].strip() or "no content type"
