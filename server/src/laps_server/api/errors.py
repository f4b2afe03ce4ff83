"""The one place where an error becomes HTTP: a status for every code, one envelope for all."""

from __future__ import annotations

import logging
from math import ceil

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from laps_server.api.schemas import ClassifyQuery, ErrorBody, ErrorEnvelope, ErrorEvent
from laps_server.errors import (
    BadParameter,
    BadRequest,
    InternalError,
    LapsError,
    MethodNotAllowed,
    PathNotFound,
    Unauthorized,
)
from laps_server.request_id import current_request_id, request_notes

_LOG = logging.getLogger(__name__)

STATUS = {
    "bad_request": 400,
    "bad_multipart": 400,
    "too_many_files": 400,
    "file_missing": 422,
    "too_large": 413,
    "slow_upload": 408,
    "bad_parameter": 422,
    "unknown_label": 422,
    "no_embedding": 422,
    "model_not_found": 404,
    "version_not_found": 404,
    "not_found": 404,
    "method_not_allowed": 405,
    "unauthorized": 401,
    "forbidden": 403,
    "client_closed": 499,  # nginx's word for a client that went away; it never reaches one
    "media_error": 422,
    "unsupported_container": 415,
    "unsupported_codec": 415,
    "no_video_stream": 422,
    "video_corrupt": 422,
    "resolution_too_large": 422,
    "too_many_streams": 422,
    "decoder_crashed": 422,
    "unavailable": 503,
    "not_ready": 503,
    "shutting_down": 503,
    "quota_exceeded": 429,
    "overloaded": 503,
    "storage_full": 503,
    "deadline_exceeded": 504,
    "backend_unavailable": 503,
    "backend_timeout": 504,
    "model_error": 500,
    "manifest_invalid": 500,
    "model_corrupt": 500,
    "backend_mismatch": 500,
    "device_missing": 500,
    "version_changed": 500,
    "not_enough_memory": 500,
    "no_models": 500,
    "internal": 500,
}
RETRY_AFTER_S = {"overloaded": 1, "not_ready": 2, "shutting_down": 2, "backend_unavailable": 2, "storage_full": 10}

_ROUTES = "GET /, POST /classify, GET /models, GET /models/{name}, GET /livez, GET /readyz, GET /docs"
_MAX_ECHO = 60


def respond(error: LapsError) -> Response:
    """An error of the tree as the envelope, with its status and, where waiting helps, ``Retry-After``."""
    request_notes().code = error.code
    headers = {}
    if (seconds := retry_after_s(error)) is not None:
        headers["Retry-After"] = str(seconds)
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    return _envelope(error, status=STATUS[error.code], headers=headers)


def retry_after_s(error: LapsError) -> int | None:
    """Whole seconds after which the same request may succeed, None where waiting does not help."""
    if error.retry_after_s is not None:
        return max(1, ceil(error.retry_after_s))
    return RETRY_AFTER_S.get(error.code)


def envelope_bytes(error: LapsError) -> bytes:
    """The envelope alone, for answers that do not pass through the app."""
    return ErrorEnvelope(error=_body(error)).model_dump_json().encode()


def error_event(failure: Exception) -> ErrorEvent:
    """The same inside a stream of events, whose status is long sent; what a defect was goes to the log alone."""
    error = failure if isinstance(failure, LapsError) else _defect()
    if STATUS[error.code] == 500:
        _LOG.error("request failed", exc_info=failure)
    request_notes().code = error.code
    return ErrorEvent(error=_body(error), status=STATUS[error.code], retry_after_s=retry_after_s(error))


def install(app: FastAPI) -> None:
    """Make every way to fail end in the envelope."""
    app.add_exception_handler(LapsError, _on_laps_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)


def internal_error() -> Response:
    """The answer to a defect: of the defect itself nothing is sent but the request id."""
    return respond(_defect())


def _defect() -> InternalError:
    return InternalError("the server failed on this request", hint="report the request_id")


async def _on_laps_error(_request: Request, exc: Exception) -> Response:
    if not isinstance(exc, LapsError):
        raise exc
    if STATUS[exc.code] == 500:
        _LOG.error("request failed", exc_info=exc)
    return respond(exc)


async def _on_validation_error(_request: Request, exc: Exception) -> Response:
    if not isinstance(exc, RequestValidationError):
        raise exc
    first, *rest = exc.errors()
    name = str(first["loc"][-1])[:_MAX_ECHO] if first["loc"] else "the request"
    more = f" (and {len(rest)} more)" if rest else ""
    if first["type"] == "extra_forbidden":
        known = ", ".join(ClassifyQuery.model_fields)
        return respond(BadParameter(f"there is no parameter {name!r}{more}", hint=f"parameters: {known}"))
    given = repr(first.get("input"))[:_MAX_ECHO]
    return respond(BadParameter(f"{name}: {first['msg']}, not {given}{more}", hint="parameters are listed at /docs"))


async def _on_http_exception(_request: Request, exc: Exception) -> Response:
    if not isinstance(exc, HTTPException):
        raise exc
    headers = dict(exc.headers or {})
    error: LapsError
    if exc.status_code == STATUS[PathNotFound.code]:
        error = PathNotFound("there is nothing at this path", hint=_ROUTES)
    elif exc.status_code == STATUS[MethodNotAllowed.code]:
        error = MethodNotAllowed("this path is for another method", hint=f"{headers.get('Allow', '')}; {_ROUTES}")
    else:
        error = BadRequest(str(exc.detail), hint=_ROUTES)
    return _envelope(error, status=exc.status_code, headers=headers)


def _envelope(error: LapsError, *, status: int, headers: dict[str, str]) -> Response:
    return Response(envelope_bytes(error), status_code=status, headers=headers, media_type="application/json")


def _body(error: LapsError) -> ErrorBody:
    return ErrorBody(code=error.code, message=error.message, hint=error.hint, request_id=current_request_id())
