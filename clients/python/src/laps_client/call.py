"""One call over all its attempts: what to send, what to make of what came, whether to try again.

The sync and the async client only move bytes and wait; they ask this record everything else. A client's loop is::

    while True:
        try:
            reply = <send call.arguments() and read the whole answer>
        except EXPECTED as exc:
            wait_s = call.after_failure(exc)     # raises where no other attempt should follow
        else:
            if call.accepts(reply):
                return call.result(reply)
            wait_s = call.after_refusal(reply)   # raises likewise
        <sleep wait_s>

A stream's loop hands over the events of ``call.reader()`` as they come, where the answer is a stream. Before the first
it sets ``given_out``, unless whoever gets them can be told everything again: from then on no attempt may follow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import httpx

from laps_client.answers import OK, Reply, error_of, told_error
from laps_client.errors import BadAnswer, DeadlineExceeded, LapsError
from laps_client.events import EventReader, StreamError
from laps_client.foreign import FOREIGN, meaning_of, translated
from laps_client.retry import RETRY_STATUSES, RetryPolicy
from laps_client.timeouts import Deadline, ShrinkingTimeouts, TimeIsUp, Timeouts
from laps_client.upload import Upload

T = TypeVar("T")

EXPECTED = (*FOREIGN, TimeIsUp, StreamError, BadAnswer)
MAX_ANSWER_BYTES = 256 << 20  # far above any answer, far below what an endless one would take

# Left of a deadline for the server's own "too late", which says more than silence, to arrive.
_ANSWER_MARGIN_S = 0.25
_ANSWER_MARGIN_SHARE = 0.1

_EVENT_STREAM = "text/event-stream"
_LATE_HINT = "allow a longer deadline_s, or ask for fewer views, as in views='1x1'"


@dataclass(frozen=True, slots=True)
class Request(Generic[T]):
    """What one call asks for; the same in each attempt.

    ``tell_deadline`` sends the time that is left to the server, which then stops its work with the call's. ``beats``
    says that the server is never silent for long, so that its silence means something before the deadline too.
    """

    method: str
    url: httpx.URL
    headers: dict[str, str]
    query: dict[str, str]
    request_id: str
    parse: Callable[[Reply, str], T]
    accepted: frozenset[int] = frozenset({OK})
    tell_deadline: bool = False
    beats: bool = False


class Call(Generic[T]):
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
        self.given_out = False
        self._request = request
        self._retries = retries
        silent = request.tell_deadline and not request.beats
        self._timeouts = ShrinkingTimeouts(timeouts, deadline, read_until_deadline=silent)
        self._attempt = 0
        self._earlier: LapsError | None = None

    def arguments(self) -> dict[str, Any]:
        """Begin an attempt: the arguments of httpx's ``build_request``, but for the body.

        Raises:
            TimeIsUp: no time is left for it.
        """
        self.deadline.check()
        self._attempt += 1
        request = self._request
        query, headers = dict(request.query), dict(request.headers)
        if request.tell_deadline:
            query["deadline_ms"] = str(_told_ms(self.deadline.remaining_s))
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
        """Bound what is kept of an answer.

        Raises:
            BadAnswer: it has no end.
            TimeIsUp: the deadline passed while it was read.
        """
        self.deadline.check()
        if size_bytes > MAX_ANSWER_BYTES:
            raise BadAnswer(
                f"the answer is longer than {MAX_ANSWER_BYTES} bytes",
                code="bad_answer",
                request_id=self._request.request_id,
            )

    def streams(self, response: httpx.Response) -> bool:
        """Whether events follow; a server that knows no streams answers with the result alone."""
        media_type = response.headers.get("content-type", "").split(";")[0].strip().lower()
        return response.status_code == OK and media_type == _EVENT_STREAM

    def reader(self) -> EventReader:
        """Reads the events of one attempt."""
        return EventReader(self._request.request_id, max_bytes=MAX_ANSWER_BYTES)

    def accepts(self, reply: Reply) -> bool:
        """Whether the reply is an answer to the request, not a refusal of it."""
        return reply.status in self._request.accepted

    def result(self, reply: Reply) -> T:
        """What an accepted reply says."""
        return self._request.parse(reply, self._request.request_id)

    def after_refusal(self, reply: Reply) -> float:
        """Seconds to wait before the next attempt.

        Raises:
            LapsError: what the reply means, where no other attempt should follow.
        """
        return self._after_told(error_of(reply, self._request.request_id))

    def after_failure(self, exc: Exception) -> float:
        """Seconds to wait before the next attempt, after one that got no answer.

        Raises:
            LapsError: what ``exc`` means, where no other attempt should follow.
            Exception: ``exc`` itself where it is of the caller's own source.
        """
        if isinstance(exc, BadAnswer) or (self.upload is not None and exc is self.upload.failure):
            raise exc
        if isinstance(exc, TimeIsUp) or self._ran_out(exc):
            earlier = f"; the one before: {self._earlier.message}" if self._earlier is not None else ""
            raise DeadlineExceeded(
                f"{self._server()}: no answer before the call's deadline, in attempt {self._attempt}{earlier}",
                code="deadline_exceeded",
                hint=_LATE_HINT if self.upload is not None else None,
                request_id=self._request.request_id,
            ) from exc
        if isinstance(exc, StreamError):
            return self._after_told(told_error(exc.told, self._request.request_id))
        error = translated(exc, where=self._server(), request_id=self._request.request_id)
        return self._wait_or_raise(error, retry=meaning_of(exc).retry, cause=exc)

    def _after_told(self, error: LapsError) -> float:
        too_late = error.code == "deadline_exceeded" and self._request.tell_deadline
        return self._wait_or_raise(error, retry=error.status in RETRY_STATUSES and not too_late)

    def _wait_or_raise(self, error: LapsError, *, retry: bool, cause: Exception | None = None) -> float:
        wait_s = self._retries.wait_s(self._attempt, error.retry_after_s) if retry else None
        if wait_s is not None and self.given_out:
            error.hint = "not tried again, since its first events were already given out"
            wait_s = None
        if wait_s is not None and self.upload is not None and not self.upload.can_resend:
            error.hint = "not sent again, since its source cannot be read again; a file or bytes can"
            wait_s = None
        if wait_s is None or wait_s >= self.deadline.remaining_s:
            raise error from cause
        self._earlier = error
        return wait_s

    def _ran_out(self, exc: Exception) -> bool:
        return isinstance(exc, httpx.TimeoutException) and self.deadline.remaining_s == 0

    def _server(self) -> str:
        return f"{self._request.url.scheme}://{self._request.url.netloc.decode('ascii')}"


def _told_ms(remaining_s: float) -> int:
    margin_s = min(_ANSWER_MARGIN_S, remaining_s * _ANSWER_MARGIN_SHARE)
    return max(1, int((remaining_s - margin_s) * 1000))
