"""What a server tells while it works, as frozen dataclasses, and the reader that makes them from the stream's bytes.

::

    Accepted ─► Decoded ─► Partial, after each view  ─► Classification
                       └─► SegmentDone, after each ──┘

An error may come at any point and is the last then.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import httpx

from laps_client.answers import OK, ToldError, bad_answer
from laps_client.parsing import Mismatch, from_json
from laps_client.results import Classification, ModelRef, Prediction, Result, Segment, VideoInfo
from laps_client.sse import EventParser, EventTooLong, ServerSentEvent

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Grid:
    """Clips along time and crops of each."""

    temporal: int
    spatial: int


@dataclass(frozen=True, slots=True)
class Accepted(Result):
    """The upload is complete and its work begins."""

    request_id: str
    model: ModelRef
    views: Grid
    upload_bytes: int
    segment_s: float | None


@dataclass(frozen=True, slots=True)
class Decoded(Result):
    """The video, or its first segment, is decoded; ``segments_total`` is None without segments."""

    video: VideoInfo
    views_total: int
    segments_total: int | None
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Partial(Result):
    """One more view is done; ``predictions`` rank the views so far."""

    predictions: tuple[Prediction, ...]
    views_done: int
    views_total: int

    def __post_init__(self) -> None:
        if not self.predictions:
            raise ValueError("predictions is empty")

    @property
    def top(self) -> Prediction:
        """The best prediction so far."""
        return self.predictions[0]


@dataclass(frozen=True, slots=True)
class SegmentDone(Segment, Result):
    """One more segment is done, and what it is."""

    segments_done: int
    segments_total: int


Event = Accepted | Decoded | Partial | SegmentDone | Classification

_KINDS: dict[str, type[Event]] = {
    "accepted": Accepted,
    "decoded": Decoded,
    "partial": Partial,
    "segment": SegmentDone,
    "result": Classification,
}
_ERROR = "error"


class StreamError(Exception):
    """An ``error`` event came; never leaves the package."""

    def __init__(self, told: ToldError) -> None:
        super().__init__(told)
        self.told = told


class EventReader:
    """Chunks of a stream to events; those of a newer server that have no class here are left out.

    Args:
        request_id: of the call, for errors.
        max_bytes: most bytes of one event.
    """

    def __init__(self, request_id: str, *, max_bytes: int) -> None:
        self._parser = EventParser(max_bytes)
        self._request_id = request_id
        self._max_bytes = max_bytes

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """The events that the chunk completes; a :class:`Classification` is the last.

        Raises:
            StreamError: the server says that the work failed.
            BadAnswer: it is not this API's stream.
        """
        try:
            for message in self._parser.feed(chunk):
                if message.name == _ERROR:
                    raise StreamError(self._parsed(ToldError, message))
                if message.name in _KINDS:
                    yield self._parsed(_KINDS[message.name], message)
        except EventTooLong as exc:
            what = f"an event is longer than {self._max_bytes} bytes"
            raise bad_answer(what, status=OK, request_id=self._request_id) from exc

    def end(self) -> None:
        """The stream ended.

        Raises:
            httpx.RemoteProtocolError: before its result, as a connection that is lost within an answer.
        """
        raise httpx.RemoteProtocolError("the stream ended before its result")

    def _parsed(self, kind: type[T], message: ServerSentEvent) -> T:
        try:
            return from_json(kind, json.loads(message.data))
        except (ValueError, RecursionError) as exc:
            what = f"event {message.name!r} is not JSON"
            raise bad_answer(what, status=OK, request_id=self._request_id) from exc
        except Mismatch as exc:
            what = f"event {message.name!r}: {exc}"
            raise bad_answer(what, status=OK, request_id=self._request_id) from exc
