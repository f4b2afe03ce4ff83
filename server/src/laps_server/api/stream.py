"""A request's events as Server-Sent Events, each on its way as soon as it is known: docs/streaming.md.

::

    job events ─► bytes, an error as the last one ─► heartbeats where it is silent ─► the connection

The status of a stream is sent before its first event. Whatever fails later is an event too: no exception may leave
this module.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Set
from contextlib import AsyncExitStack, aclosing

from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from laps_server.answer_memory import AnswerShare
from laps_server.api import schemas
from laps_server.api.errors import error_event
from laps_server.api.negotiate import EVENT_STREAM
from laps_server.api.responses import classify_response, decoded_event, partial_event, segment_event
from laps_server.api.sending import send_to_reader
from laps_server.events import Decoded, Event, Partial, SegmentDone
from laps_server.observe import RequestClock

_LOG = logging.getLogger(__name__)

# Every event: its name, the body of its data, and when it comes.
EVENTS: dict[str, tuple[type[BaseModel], str]] = {
    "accepted": (schemas.AcceptedEvent, "first, once the upload is complete"),
    "decoded": (
        schemas.DecodedEvent,
        "once the first clip of the video, or the first clips of its first segment, are decoded",
    ),
    "partial": (schemas.PartialEvent, "after each view, not with segments"),
    "segment": (schemas.SegmentEvent, "after each segment, only with segments"),
    "result": (schemas.ClassifyResponse, "last: what the answer is as JSON"),
    "error": (schemas.ErrorEvent, "last, instead of a result"),
}
HEARTBEAT = b": heartbeat\n\n"

_HEADERS = {"X-Accel-Buffering": "no"}  # tells nginx not to hold events back


async def classification_stream(
    events: AsyncGenerator[Event, None],
    *,
    accepted: schemas.AcceptedEvent,
    clock: RequestClock,
    answer: AnswerShare,
    detail_fields: Set[str],
) -> AsyncGenerator[bytes, None]:
    """Each event as bytes, from ``accepted`` to ``result`` or ``error``; closing this early closes ``events``.

    Args:
        events: the job's.
        accepted: the event that comes before them.
        clock: of the request.
        answer: what it may take of memory.
        detail_fields: as :func:`~laps_server.api.responses.classify_response` has them.
    """
    yield _encode("accepted", accepted)
    failure: Exception | None = None
    async with aclosing(events):
        while failure is None:
            try:
                event = await anext(events)
                # In a thread: with all labels, frames and thumbnails an event is megabytes.
                async with answer.encoding():
                    chunk = await asyncio.to_thread(_encode_event, event, clock, detail_fields)
            except StopAsyncIteration:
                return
            except Exception as exc:  # a defect is answered too, as outside a stream
                failure = exc
            else:
                yield chunk
    error = error_event(failure)
    _LOG.info("the stream ends with %d %s", error.status, error.error.code)  # the request's own log line says 200
    yield _encode("error", error)


def _encode_event(event: Event, clock: RequestClock, detail_fields: Set[str]) -> bytes:
    if isinstance(event, Decoded):
        return _encode("decoded", decoded_event(event))
    if isinstance(event, Partial):
        return _encode("partial", partial_event(event))
    if isinstance(event, SegmentDone):
        return _encode("segment", segment_event(event))
    body = classify_response(event, request_id=clock.request_id, total_s=clock.elapsed_s, detail_fields=detail_fields)
    return _encode("result", body)


def _encode(name: str, data: BaseModel) -> bytes:
    """One event; JSON escapes line breaks, so its data is one line."""
    return f"event: {name}\ndata: {data.model_dump_json()}\n\n".encode()


async def with_heartbeats(chunks: AsyncGenerator[bytes, None], *, every_s: float) -> AsyncGenerator[bytes, None]:
    """``chunks``, and a heartbeat whenever there was none for ``every_s``; closing this early closes ``chunks``."""
    async with aclosing(chunks):
        while True:
            step = asyncio.ensure_future(anext(chunks, None))
            try:
                while not step.done():
                    await asyncio.wait([step], timeout=every_s)
                    if not step.done():
                        yield HEARTBEAT
            finally:
                step.cancel()
                await asyncio.gather(step, return_exceptions=True)
            chunk = step.result()
            if chunk is None:
                return
            yield chunk


class EventStream(StreamingResponse):
    """Sends chunks as they come, until their end, until the client is gone, or until it stops reading."""

    media_type = EVENT_STREAM

    def __init__(self, chunks: AsyncGenerator[bytes, None], *, heartbeat_s: float, upload: AsyncExitStack) -> None:
        super().__init__(chunks, headers=_HEADERS)
        self._chunks = with_heartbeats(chunks, every_s=heartbeat_s)
        self._upload = upload

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream; the upload is gone when it ends, however it ends."""
        async with self._upload:
            await send_to_reader(self, self._chunks, scope, receive, send)
