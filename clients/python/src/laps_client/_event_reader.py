"""Events from the bytes of a stream; no I/O."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TypeVar

import httpx

from laps_client._events import EVENT_CLASSES, Event
from laps_client._parsing import Mismatch, from_json
from laps_client._responses import OK, ErrorEvent, bad_answer
from laps_client._sse import EventParser, EventTooLong, ServerSentEvent

T = TypeVar("T")

_ERROR = "error"


class ErrorEventReceived(Exception):
    """An ``error`` event came; never leaves the package."""

    def __init__(self, event: ErrorEvent) -> None:
        super().__init__(event)
        self.event = event


class EventReader:
    """Turns chunks of a stream into events; those of a newer server, which have no class here, are left out.

    Args:
        request_id: of the request, for errors.
        max_bytes: most bytes of one event.
    """

    def __init__(self, request_id: str, *, max_bytes: int) -> None:
        self._parser = EventParser(max_bytes)
        self._request_id = request_id
        self._max_bytes = max_bytes

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """The events that the chunk completes; a :class:`Classification` is the last.

        Raises:
            ErrorEventReceived: the server says that the work failed.
            BadAnswer: it is not this API's stream.
        """
        try:
            for message in self._parser.feed(chunk):
                if message.name == _ERROR:
                    raise ErrorEventReceived(self._parsed(ErrorEvent, message))
                if message.name in EVENT_CLASSES:
                    yield self._parsed(EVENT_CLASSES[message.name], message)
        except EventTooLong as exc:
            what = f"an event is longer than {self._max_bytes} bytes"
            raise bad_answer(what, status=OK, request_id=self._request_id) from exc

    def end(self) -> None:
        """The stream ended.

        Raises:
            httpx.RemoteProtocolError: before its result, as a connection that is lost within an answer.
        """
        raise httpx.RemoteProtocolError("the stream ended before its result")

    def _parsed(self, expected: type[T], message: ServerSentEvent) -> T:
        try:
            return from_json(expected, json.loads(message.data))
        except (ValueError, RecursionError) as exc:
            what = f"event {message.name!r} is not JSON"
            raise bad_answer(what, status=OK, request_id=self._request_id) from exc
        except Mismatch as exc:
            what = f"event {message.name!r}: {exc}"
            raise bad_answer(what, status=OK, request_id=self._request_id) from exc
