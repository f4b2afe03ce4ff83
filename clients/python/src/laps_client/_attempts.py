"""One request over all its attempts: what to send, what an attempt's outcome means, whether to try again.

The sync and the async client only move bytes and wait; they ask this record everything else. A client's loop is::

    while True:
        try:
            response = <send attempts.next_request() and read the whole response>
        except ATTEMPT_ERRORS as exc:
            wait_s = attempts.after_failure(exc)       # raises where no other attempt should follow
        else:
            if attempts.accepts(response):
                return attempts.result(response)
            wait_s = attempts.after_refusal(response)  # raises likewise
        <sleep wait_s>

Where the response is a stream, the loop hands over the events of ``attempts.event_reader()`` as they come. Before the
first it sets ``events_delivered``, after which no attempt may follow, unless its user can be sent all events again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import httpx

from laps_client._event_reader import ErrorEventReceived, EventReader
from laps_client._httpx_errors import HTTPX_ERRORS, translated, translation_of
from laps_client._options import Query
from laps_client._responses import OK, ReadResponse, error_of, error_of_event
from laps_client._retry_policy import RetryPolicy, may_pass
from laps_client._timeouts import Deadline, ShrinkingTimeouts, TimeIsUp, Timeouts
from laps_client._upload import Upload
from laps_client.errors import BadAnswer, DeadlineExceeded, LapsError

T = TypeVar("T")

ATTEMPT_ERRORS = (*HTTPX_ERRORS, TimeIsUp, ErrorEventReceived, BadAnswer)
MAX_ANSWER_BYTES = 256 << 20  # far above any answer, far below what an endless one would take

# Left of a deadline for the server's own "too late", which says more than silence, to arrive.
_ANSWER_MARGIN_S = 0.25
_ANSWER_MARGIN_SHARE = 0.1

_EVENT_STREAM = "text/event-stream"
_LATE_HINT = "allow a longer deadline_s, or ask for fewer views, as in views='1x1'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Generic[T]):
    """What is sent in each attempt.

    With ``sends_deadline`` the server is sent the time that is left, and stops its own work in time. With
    ``has_heartbeats`` it is never silent for long, so that its silence is an error even before the deadline.
    """

    method: str
    url: httpx.URL
    headers: dict[str, str]
    query: Query
    request_id: str
    parse: Callable[[ReadResponse, str], T]
    accepted: frozenset[int] = frozenset({OK})
    sends_deadline: bool = False
    has_heartbeats: bool = False


class Attempts(Generic[T]):
    """A request on its way."""

    def __init__(
        self,
        request: Request[T],
        *,
        timeouts: Timeouts,
        retries: RetryPolicy,
        deadline: Deadline,
        upload: Upload | None = None,
    ) -> None:
        self.deadline = deadline
        self.upload = upload
        self.events_delivered = False
        self._request = request
        self._retries = retries
        silent = request.sends_deadline and not request.has_heartbeats
        self._timeouts = ShrinkingTimeouts(timeouts, deadline, read_until_deadline=silent)
        self._number = 0
        self._earlier: LapsError | None = None

    def next_request(self) -> dict[str, Any]:
        """Begin an attempt: the arguments of httpx's ``build_request``, without the body.

        Raises:
            TimeIsUp: no time is left for it.
        """
        self.deadline.check()
        self._number += 1
        request = self._request
        query, headers = dict(request.query), dict(request.headers)
        if request.sends_deadline:
            query["deadline_ms"] = str(_server_deadline_ms(self.deadline.remaining_s))
        if self.upload is not None and self.upload.size_bytes is not None:
            headers["Content-Length"] = str(self.upload.size_bytes)
        return {
            "method": request.method,
            "url": request.url,
            "params": query or None,
            "headers": headers,
            "extensions": {"timeout": self._timeouts},
        }

    def check_size(self, size_bytes: int) -> None:
        """Bound what is kept of a response.

        Raises:
            BadAnswer: it is too long.
            TimeIsUp: the deadline passed while it was read.
        """
        self.deadline.check()
        if size_bytes > MAX_ANSWER_BYTES:
            raise BadAnswer(
                f"the answer is longer than {MAX_ANSWER_BYTES} bytes",
                code="bad_answer",
                request_id=self._request.request_id,
            )

    def is_stream(self, response: httpx.Response) -> bool:
        """Whether events follow; a server without streams answers with the result alone."""
        media_type = response.headers.get("content-type", "").split(";")[0].strip().lower()
        return response.status_code == OK and media_type == _EVENT_STREAM

    def event_reader(self) -> EventReader:
        """Reads the events of one attempt."""
        return EventReader(self._request.request_id, max_bytes=MAX_ANSWER_BYTES)

    def accepts(self, response: ReadResponse) -> bool:
        """Whether the response answers the request and does not refuse it."""
        return response.status in self._request.accepted

    def result(self, response: ReadResponse) -> T:
        """What an accepted response says."""
        return self._request.parse(response, self._request.request_id)

    def after_refusal(self, response: ReadResponse) -> float:
        """Seconds to wait before the next attempt.

        Raises:
            LapsError: what the response means, where no other attempt should follow.
        """
        return self._after_server_error(error_of(response, self._request.request_id))

    def after_failure(self, exc: Exception) -> float:
        """Seconds to wait before the next attempt, after one without a response.

        Raises:
            LapsError: what ``exc`` means, where no other attempt should follow.
            Exception: ``exc`` itself where the user's own source or callback raised it.
        """
        if isinstance(exc, BadAnswer) or (self.upload is not None and exc is self.upload.failure):
            raise exc
        if isinstance(exc, TimeIsUp) or self._is_timeout_of_deadline(exc):
            earlier = f"; the one before: {self._earlier.message}" if self._earlier is not None else ""
            raise DeadlineExceeded(
                f"{self._server()}: no answer before the request's deadline, in attempt {self._number}{earlier}",
                code="deadline_exceeded",
                hint=_LATE_HINT if self.upload is not None else None,
                request_id=self._request.request_id,
            ) from exc
        if isinstance(exc, ErrorEventReceived):
            return self._after_server_error(error_of_event(exc.event))
        error = translated(exc, where=self._server(), request_id=self._request.request_id)
        return self._wait_or_raise(error, retry=translation_of(exc).retry, cause=exc)

    def _after_server_error(self, error: LapsError) -> float:
        too_late = error.code == "deadline_exceeded" and self._request.sends_deadline
        return self._wait_or_raise(error, retry=may_pass(error.status, error.code) and not too_late)

    def _wait_or_raise(self, error: LapsError, *, retry: bool, cause: Exception | None = None) -> float:
        wait_s = self._retries.wait_s(self._number, error.retry_after_s) if retry else None
        if wait_s is not None and self.events_delivered:
            error.hint = "not tried again, since its first events were already given out"
            wait_s = None
        if wait_s is not None and self.upload is not None and not self.upload.can_resend:
            error.hint = "not sent again, since its source cannot be read again; a file or bytes can"
            wait_s = None
        if wait_s is None or wait_s >= self.deadline.remaining_s:
            raise error from cause
        self._earlier = error
        return wait_s

    def _is_timeout_of_deadline(self, exc: Exception) -> bool:
        return isinstance(exc, httpx.TimeoutException) and self.deadline.remaining_s == 0

    def _server(self) -> str:
        return f"{self._request.url.scheme}://{self._request.url.netloc.decode('ascii')}"


def _server_deadline_ms(remaining_s: float) -> int:
    margin_s = min(_ANSWER_MARGIN_S, remaining_s * _ANSWER_MARGIN_SHARE)
    return max(1, int((remaining_s - margin_s) * 1000))
