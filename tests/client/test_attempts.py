"""Whether and when an attempt is followed by another, with a clock of the test's own: no sockets, no waiting."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from laps_client import (
    BadAnswer,
    BadRequest,
    ConnectionFailed,
    DeadlineExceeded,
    LapsError,
    NotFound,
    RetryPolicy,
    ServerError,
    TimedOut,
    Timeouts,
    Unauthorized,
    Unavailable,
)
from laps_client._attempts import Attempts, Request
from laps_client._event_reader import ErrorEventReceived
from laps_client._httpx_errors import TRANSLATIONS
from laps_client._responses import ErrorBody, ErrorEvent, ReadResponse
from laps_client._timeouts import Deadline, TimeIsUp
from laps_client._upload import Upload
from laps_client._video_source import VideoSource
from support.standing_clock import StandingClock

BACKOFF_S = 0.5
RETRIES = RetryPolicy(attempts=3, backoff_s=BACKOFF_S, max_backoff_s=BACKOFF_S, max_retry_after_s=60)
LOST = httpx.ReadError("lost")


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock()


def video(*, can_rewind: bool) -> VideoSource:
    def chunks() -> Iterator[bytes]:
        yield b"first"
        yield b"second"

    return VideoSource(lambda: (chunk for chunk in chunks()), 11 if can_rewind else None, can_rewind)


def attempts_of(
    clock: StandingClock,
    *,
    deadline_s: float | None = None,
    sends_deadline: bool = False,
    upload: Upload | None = None,
    timeouts: Timeouts | None = None,
    has_heartbeats: bool = False,
) -> Attempts[str]:
    request = Request(
        method="POST",
        url=httpx.URL("http://host:1/classify"),
        headers={"X-Request-ID": "mine"},
        query={"top_k": "2"},
        request_id="mine",
        parse=lambda response, _: response.content.decode(),
        sends_deadline=sends_deadline,
        has_heartbeats=has_heartbeats,
    )
    deadline = Deadline.after(deadline_s, clock=clock)
    return Attempts(request, timeouts=timeouts or Timeouts(), retries=RETRIES, deadline=deadline, upload=upload)


def refusal(status: int, code: str = "some_code", headers: dict[str, str] | None = None) -> ReadResponse:
    error = {"code": code, "message": f"{code} happened", "hint": None, "request_id": "from-server"}
    return ReadResponse(status, headers or {}, json.dumps({"error": error}).encode())


@pytest.mark.parametrize("status", [408, 429, 502, 503, 504])
def test_a_status_that_may_pass_is_tried_again_until_the_attempts_are_used_up(
    clock: StandingClock, status: int
) -> None:
    attempts = attempts_of(clock)
    for _ in range(RETRIES.attempts - 1):
        attempts.next_request()
        assert 0 <= attempts.after_refusal(refusal(status)) <= BACKOFF_S
    attempts.next_request()
    with pytest.raises(Unavailable) as caught:
        attempts.after_refusal(refusal(status))
    error = caught.value
    assert (error.status, error.code, error.request_id) == (status, "some_code", "from-server")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (302, BadAnswer),
        (400, BadRequest),
        (401, Unauthorized),
        (404, NotFound),
        (422, BadRequest),
        (500, ServerError),
        (501, ServerError),
    ],
)
def test_a_status_that_would_only_come_again_is_raised_at_once(
    clock: StandingClock, status: int, kind: type[LapsError]
) -> None:
    attempts = attempts_of(clock)
    attempts.next_request()
    with pytest.raises(LapsError) as caught:
        attempts.after_refusal(refusal(status))
    assert type(caught.value) is kind


@pytest.mark.parametrize("kind", TRANSLATIONS, ids=lambda kind: kind.__name__)
def test_an_exception_of_httpx_is_tried_again_where_the_table_says_so(
    clock: StandingClock, kind: type[Exception]
) -> None:
    exc = kind.__new__(kind)
    attempts = attempts_of(clock)
    attempts.next_request()
    if TRANSLATIONS[kind].retry:
        assert 0 <= attempts.after_failure(exc) <= BACKOFF_S
    else:
        with pytest.raises(TRANSLATIONS[kind].becomes) as caught:
            attempts.after_failure(exc)
        assert (caught.value.code, caught.value.request_id) == (TRANSLATIONS[kind].code, "mine")
        assert caught.value.__cause__ is exc


@pytest.mark.parametrize(
    "headers",
    [
        {"retry-after": "7"},
        {"retry-after": "Wed, 01 May 2024 12:00:07 GMT", "date": "Wed, 01 May 2024 12:00:00 GMT"},
    ],
    ids=["seconds", "date"],
)
def test_retry_after_is_the_least_wait_and_jitter_comes_on_top(clock: StandingClock, headers: dict[str, str]) -> None:
    waits = set()
    for _ in range(50):
        attempts = attempts_of(clock)
        attempts.next_request()
        waits.add(attempts.after_refusal(refusal(503, headers=headers)))
    assert 7 <= min(waits) < max(waits) <= 7 + BACKOFF_S


def test_a_retry_after_beyond_the_bound_ends_the_request_and_is_told(clock: StandingClock) -> None:
    attempts = attempts_of(clock)
    attempts.next_request()
    with pytest.raises(Unavailable) as caught:
        attempts.after_refusal(refusal(503, headers={"retry-after": "61"}))
    assert caught.value.retry_after_s == 61


def test_a_wait_that_reaches_the_deadline_is_not_begun(clock: StandingClock) -> None:
    attempts = attempts_of(clock, deadline_s=6)
    attempts.next_request()
    assert attempts.after_refusal(refusal(503, headers={"retry-after": "5"})) <= 5.5
    clock.now_s += 2
    attempts.next_request()
    with pytest.raises(Unavailable) as caught:
        attempts.after_refusal(refusal(503, "storage_full", {"retry-after": "5"}))
    assert caught.value.code == "storage_full", "the reason, not the deadline"


def test_each_attempt_sends_what_is_left_of_the_deadline_less_a_margin(clock: StandingClock) -> None:
    attempts = attempts_of(clock, deadline_s=30, sends_deadline=True)
    assert attempts.next_request()["params"] == {"top_k": "2", "deadline_ms": "29750"}
    clock.now_s += 29
    assert attempts.next_request()["params"]["deadline_ms"] == "900", "a tenth of a short time"
    clock.now_s += 0.9999
    assert attempts.next_request()["params"]["deadline_ms"] == "1", "never 0, which the server refuses"
    assert "deadline_ms" not in attempts_of(clock, deadline_s=30).next_request()["params"]


def test_no_attempt_begins_after_the_deadline_and_the_one_before_is_told(clock: StandingClock) -> None:
    attempts = attempts_of(clock, deadline_s=10, upload=upload_of(clock, video(can_rewind=True)))
    attempts.next_request()
    attempts.after_refusal(refusal(503, "overloaded"))
    clock.now_s += 10
    with pytest.raises(TimeIsUp):
        attempts.next_request()
    with pytest.raises(DeadlineExceeded, match="in attempt 1; the one before: overloaded happened") as caught:
        attempts.after_failure(TimeIsUp())
    assert (caught.value.code, caught.value.status, caught.value.request_id) == ("deadline_exceeded", None, "mine")
    assert "fewer views" in (caught.value.hint or "")


@pytest.mark.parametrize("kind", [httpx.ReadTimeout, httpx.WriteTimeout, httpx.ConnectTimeout, httpx.PoolTimeout])
def test_a_timeout_at_the_deadline_is_the_deadlines(clock: StandingClock, kind: type[httpx.TimeoutException]) -> None:
    attempts = attempts_of(clock, deadline_s=10)
    attempts.next_request()
    clock.now_s += 10
    with pytest.raises(DeadlineExceeded):
        attempts.after_failure(kind("late"))


def test_the_servers_own_too_late_is_final_only_where_it_was_sent_the_deadline(clock: StandingClock) -> None:
    too_late = refusal(504, "deadline_exceeded")
    attempts = attempts_of(clock, deadline_s=30, sends_deadline=True)
    attempts.next_request()
    with pytest.raises(DeadlineExceeded):
        attempts.after_refusal(too_late)
    attempts = attempts_of(clock, deadline_s=30)
    attempts.next_request()
    assert attempts.after_refusal(too_late) <= BACKOFF_S


@pytest.mark.parametrize(
    ("options", "read_s"),
    [
        ({}, 300),
        ({"deadline_s": 50}, 50),
        ({"deadline_s": 900, "sends_deadline": True}, 900),
        ({"deadline_s": 900, "sends_deadline": True, "has_heartbeats": True}, 300),
    ],
    ids=["no deadline", "total alone", "a deadline replaces it", "unless there are heartbeats"],
)
def test_the_read_timeout_is_the_deadlines_where_the_server_is_silent_until_its_answer(
    clock: StandingClock, options: dict[str, Any], read_s: float
) -> None:
    timeouts = Timeouts(read_s=300, total_s=None)
    arguments = attempts_of(clock, timeouts=timeouts, **options).next_request()
    assert arguments["extensions"]["timeout"]["read"] == pytest.approx(read_s)


def upload_of(clock: StandingClock, source: VideoSource) -> Upload:
    return Upload(source, None, Deadline.after(None, clock=clock))


@pytest.mark.parametrize("can_rewind", [True, False])
@pytest.mark.parametrize("begun", [True, False], ids=["begun", "not begun"])
def test_only_what_can_be_read_again_or_was_not_begun_is_sent_again(
    clock: StandingClock, *, can_rewind: bool, begun: bool
) -> None:
    source = video(can_rewind=can_rewind)
    upload = upload_of(clock, source)
    attempts = attempts_of(clock, upload=upload)
    attempts.next_request()
    body = upload.body(source)
    if begun:
        next(body)
    body.close()
    if can_rewind or not begun:
        assert attempts.after_failure(LOST) <= BACKOFF_S
    else:
        with pytest.raises(ConnectionFailed) as caught:
            attempts.after_failure(LOST)
        assert "cannot be read again" in (caught.value.hint or "")


def test_what_the_source_raises_is_raised_unchanged_also_where_it_looks_like_a_lost_connection(
    clock: StandingClock,
) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"first"
        raise LOST

    source = VideoSource(lambda: (chunk for chunk in chunks()), None, can_rewind=True)
    upload = upload_of(clock, source)
    attempts = attempts_of(clock, upload=upload)
    attempts.next_request()
    with pytest.raises(httpx.ReadError) as raised:
        list(upload.body(source))
    with pytest.raises(httpx.ReadError) as caught:
        attempts.after_failure(raised.value)
    assert caught.value is LOST


def error_event(code: str, status: int, retry_after_s: float | None = None) -> ErrorEventReceived:
    return ErrorEventReceived(
        ErrorEvent(ErrorBody(code, f"{code} happened", None, "from-server"), status, retry_after_s)
    )


def test_an_error_event_is_as_good_as_a_refusal(clock: StandingClock) -> None:
    attempts = attempts_of(clock, deadline_s=30, sends_deadline=True)
    attempts.next_request()
    assert 7 <= attempts.after_failure(error_event("overloaded", 503, 7)) <= 7 + BACKOFF_S
    for code, status, kind in (("internal", 500, ServerError), ("deadline_exceeded", 504, DeadlineExceeded)):
        with pytest.raises(kind) as caught:
            attempts.after_failure(error_event(code, status))
        assert (caught.value.code, caught.value.request_id) == (code, "from-server")


@pytest.mark.parametrize("exc", [LOST, error_event("overloaded", 503)], ids=["lost", "error event"])
def test_after_its_first_event_a_stream_is_not_tried_again(clock: StandingClock, exc: Exception) -> None:
    attempts = attempts_of(clock)
    attempts.next_request()
    assert attempts.after_failure(exc) <= BACKOFF_S
    attempts.events_delivered = True
    with pytest.raises(Unavailable) as caught:
        attempts.after_failure(exc)
    assert "already given out" in (caught.value.hint or "")


def test_a_write_timeout_is_tried_again_and_a_read_timeout_is_not(clock: StandingClock) -> None:
    attempts = attempts_of(clock)
    attempts.next_request()
    assert attempts.after_failure(httpx.WriteTimeout("slow")) <= BACKOFF_S
    with pytest.raises(TimedOut) as caught:
        attempts.after_failure(httpx.ReadTimeout("silent"))
    assert caught.value.code == "read_timeout"
