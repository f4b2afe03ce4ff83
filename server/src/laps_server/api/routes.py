"""The routes. No ``try`` here: errors of the tree become answers in ``api/errors.py``."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Set
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import JSONResponse, Response

from laps_server.api import schemas
from laps_server.api.admission import CLASSIFY_PATH
from laps_server.api.disconnect import unless_disconnected
from laps_server.api.errors import RETRY_AFTER_S
from laps_server.api.negotiate import prefers_events
from laps_server.api.openapi import STREAM_RESPONSE
from laps_server.api.responses import accepted_event, classify_response, model_response, models_response
from laps_server.api.sending import HeldAnswer
from laps_server.api.stream import EventStream, classification_stream
from laps_server.api.uploads import FIELD, UploadLimits, received_upload
from laps_server.classify_options import ClassifyOptions
from laps_server.deadline import HINT_UPLOAD, within
from laps_server.errors import BadParameter
from laps_server.events import Classification
from laps_server.observe import RequestClock
from laps_server.request_id import current_request_id, request_notes
from laps_server.runtime import Runtime
from laps_server.segment_length import SegmentLength
from laps_server.settings import Settings
from laps_server.view_grid import ViewGrid

router = APIRouter()


@dataclass(frozen=True, slots=True)
class Services:
    """What the routes stand on; ``create_app`` puts it on the app."""

    settings: Settings
    runtime: Runtime
    uploads: UploadLimits


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


ServicesDep = Annotated[Services, Depends(_services)]

_REPEATABLE = frozenset({"labels"})
_VIDEO = {"type": "string", "format": "binary"}
_CLASSIFY_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The video, as a multipart field or as the raw body.",
        "content": {
            "multipart/form-data": {"schema": {"type": "object", "required": [FIELD], "properties": {FIELD: _VIDEO}}},
            "application/octet-stream": {"schema": _VIDEO},
            "video/*": {"schema": _VIDEO},
        },
    }
}
_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": schemas.ErrorEnvelope, "description": text}
    for status, text in {
        400: "The body cannot be parsed.",
        401: "The server asks for a key, and got none that is valid.",
        404: "No such model or version.",
        408: "The upload stalled.",
        413: "The upload is too large.",
        415: "Not a video container or codec that is served.",
        422: "A parameter is out of range, no file was sent, or the video cannot be decoded.",
        429: "The key has used what it may; see Retry-After.",
        503: "Not ready, overloaded, shutting down or without its backend; see Retry-After.",
        504: "The deadline passed, or the backend did not answer in time.",
    }.items()
}


@router.post(
    CLASSIFY_PATH,
    response_model=schemas.ClassifyResponse,
    responses=STREAM_RESPONSE | _ERRORS,
    openapi_extra=_CLASSIFY_BODY,
    tags=["classify"],
)
async def classify(
    request: Request, query: Annotated[schemas.ClassifyQuery, Query()], services: ServicesDep
) -> Response:
    """Classify one video: ranked labels for all of it, scores along it, or for each segment."""
    clock = RequestClock(current_request_id(), also=request_notes().observer)
    _check_given_once(request)
    options = _options(query, services.settings, clock.arrived)
    async with AsyncExitStack() as stack:
        # A wrong option is refused before the upload is read.
        job = stack.enter_context(services.runtime.job(options, clock))
        request_notes().model = job.model.ref
        async with within(options.deadline, hint=HINT_UPLOAD):
            file = await stack.enter_async_context(received_upload(request, services.uploads))
        upload_bytes = os.fstat(file.fileno()).st_size
        job.received(upload_bytes)
        if prefers_events(",".join(request.headers.getlist("accept"))):
            accepted = accepted_event(job, upload_bytes=upload_bytes)
            chunks = classification_stream(
                job.events(file.fileno()),
                accepted=accepted,
                clock=clock,
                answer=job.answer,
                detail_fields=query.detail_fields,
            )
            return EventStream(chunks, heartbeat_s=services.settings.heartbeat_s, upload=stack.pop_all())
        answer = await unless_disconnected(request, job.classify(file.fileno()))
        file.close()  # only what the answer takes is held until it is sent
        async with job.answer.encoding():
            body = await asyncio.to_thread(_serialised, answer, query.detail_fields, clock)
        return HeldAnswer(body, held=stack.pop_all())


def _serialised(answer: Classification, detail_fields: Set[str], clock: RequestClock) -> bytes:
    """The body, made in a thread: with all labels, frames and thumbnails it is megabytes."""
    body = classify_response(answer, request_id=clock.request_id, total_s=clock.elapsed_s, detail_fields=detail_fields)
    return body.model_dump_json().encode()


@router.get("/models", responses={401: _ERRORS[401]}, tags=["models"])
async def list_models(services: ServicesDep) -> schemas.ModelsResponse:
    """The served models and the server's limits."""
    runtime = services.runtime
    return models_response(runtime.served, runtime.failed_versions, services.settings)


@router.get(
    "/models/{name}",
    responses={
        401: _ERRORS[401],
        404: _ERRORS[404],
        422: {"model": schemas.ErrorEnvelope, "description": "A parameter is wrong."},
    },
    tags=["models"],
)
async def get_model(
    name: Annotated[str, Path(description="As in `GET /models`.")],
    services: ServicesDep,
    version: Annotated[int | None, Query(ge=1, description="The highest served if not given.")] = None,
) -> schemas.ModelResponse:
    """One model in full: labels, input, limits, metrics, provenance."""
    return model_response(services.runtime.served, services.runtime.served.find(name, version), services.settings)


@router.head("/livez", include_in_schema=False)
@router.get("/livez", tags=["health"])
async def livez() -> schemas.Health:
    """Whether the process answers; restart it if not."""
    return schemas.Health(status="ok")


@router.head("/readyz", include_in_schema=False)
@router.get(
    "/readyz",
    response_model=schemas.Health,
    responses={503: {"model": schemas.Health, "description": "Not now; `reason` says why."}},
    tags=["health"],
)
async def readyz(services: ServicesDep) -> JSONResponse:
    """Whether requests should be sent here: models loaded and warm, not shutting down."""
    reason = services.runtime.not_ready_reason
    # No messages: whoever asks here has no key.
    failed = ", ".join(f"{item.ref} ({item.code})" for item in services.runtime.failed_versions)
    health = schemas.Health(
        status="ok" if reason is None else "unavailable", reason=reason, detail=f"failed: {failed}" if failed else None
    )
    if reason is None:
        return JSONResponse(health.model_dump())
    return JSONResponse(health.model_dump(), status_code=503, headers={"Retry-After": str(RETRY_AFTER_S["not_ready"])})


def _check_given_once(request: Request) -> None:
    names = [name for name, _ in request.query_params.multi_items() if name not in _REPEATABLE]
    for name in names:
        if names.count(name) > 1:
            raise BadParameter(f"{name} is given {names.count(name)} times", hint="give each parameter once")


def _options(query: schemas.ClassifyQuery, settings: Settings, arrived: float) -> ClassifyOptions:
    deadline_s = settings.default_deadline_s
    if query.deadline_ms is not None:
        deadline_s = query.deadline_ms / 1000
    if deadline_s > settings.max_deadline_s:
        raise BadParameter(
            f"deadline_ms {query.deadline_ms} is too long",
            hint=f"at most {settings.max_deadline_s * 1000:.0f}",
        )
    return ClassifyOptions(
        model=query.model,
        version=query.version,
        top_k=query.top_k,
        views=None if query.views is None else ViewGrid.parse(query.views),
        frames=query.frames,
        thumbnails=query.thumbnails,
        view_details=bool(query.detail_fields),
        deadline=arrived + deadline_s,
        deadline_named=query.deadline_ms is not None,
        segments=None if query.segments is None else SegmentLength.parse(query.segments),
        labels=tuple(query.labels or ()),
        embedding=query.embedding,
    )
