"""Both clients on streams: the events of a video, and of a server that breaks off, stumbles, or knows none."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, aclosing, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from client.conftest import AnyClient, Connect
from laps_client import (
    Accepted,
    AsyncLapsClient,
    BadAnswer,
    BadRequest,
    BadVideo,
    Classification,
    ConnectionFailed,
    DeadlineExceeded,
    Decoded,
    Event,
    LapsClient,
    NotFound,
    Partial,
    RetryPolicy,
    SegmentDone,
    ServerError,
    TimedOut,
    Timeouts,
    Unavailable,
)
from support.flaky_server import (
    Exchange,
    FlakyServer,
    Step,
    answering,
    cutting,
    dropping_after,
    failing,
    flaky_server,
    forwarding,
)
from support.live_servers import ServerProcess, running_server
from support.model_repositories import slow_graph, write_model
from support.response_bodies import BODY
from support.scripted_streams import (
    ACCEPTED,
    DECODED,
    HEARTBEAT,
    PARTIAL,
    RESULT,
    WHOLE,
    event,
    failed,
    telling,
)

QUICK = RetryPolicy(attempts=3, backoff_s=0.02, max_backoff_s=0.02)

Flaky = Callable[..., FlakyServer]


@pytest.fixture
def flaky() -> Iterator[Flaky]:
    with ExitStack() as stack:
        yield lambda *script: stack.enter_context(flaky_server(*script))


@pytest.fixture
def client(connect: Connect, server: ServerProcess) -> AnyClient:
    return connect(server.url)


def kinds(events: list[Event]) -> list[type[Event]]:
    return [type(item) for item in events]


def test_the_events_of_a_video_come_in_order_and_end_in_its_result(client: AnyClient, clip: Path) -> None:
    events = list(client.stream(clip, views="2x1", top_k=2, request_id="mine"))
    assert kinds(events) == [Accepted, Decoded, Partial, Partial, Classification]
    accepted, decoded, first, last, result = events
    assert isinstance(accepted, Accepted)
    assert (accepted.request_id, accepted.model.name, accepted.upload_bytes) == ("mine", "colours", clip.stat().st_size)
    assert (accepted.views.temporal, accepted.views.spatial, accepted.segment_s) == (2, 1, None)
    assert isinstance(decoded, Decoded)
    assert (decoded.video.frame_count, decoded.views_total, decoded.segments_total) == (20, 2, None)
    assert isinstance(first, Partial)
    assert isinstance(last, Partial)
    assert (first.views_done, last.views_done, last.views_total, last.top.label) == (1, 2, 2, "red")
    assert isinstance(result, Classification)
    assert result.predictions == client.classify(clip, views="2x1", top_k=2).predictions
    assert last.to_dict() == {
        "predictions": result.to_dict()["predictions"],
        "views_done": 2,
        "views_total": 2,
    }


def test_segments_are_told_one_by_one_and_together(client: AnyClient, clip: Path) -> None:
    *before, result = client.stream(clip, segments="1.2s", top_k=4)
    assert kinds(before) == [Accepted, Decoded, SegmentDone, SegmentDone]
    accepted, decoded, first, second = before
    assert isinstance(accepted, Accepted)
    assert accepted.segment_s == 1.2
    assert isinstance(decoded, Decoded)
    assert decoded.segments_total == 2
    assert isinstance(first, SegmentDone)
    assert isinstance(second, SegmentDone)
    assert (first.start_s, first.end_s, first.segments_done, first.segments_total) == (0, 1.2, 1, 2)
    assert (first.top.label, second.top.label) == ("red", "blue")
    assert isinstance(result, Classification)
    assert result.frames is None
    assert result.segments is not None
    assert [segment.top.label for segment in result.segments] == ["red", "blue"]
    timeline = result.timeline
    assert timeline is not None
    assert (timeline.start_s, timeline.end_s) == ((0, 1.2), (1.2, 2))
    assert timeline.curve("blue") == pytest.approx((0, 1), abs=0.05)
    with pytest.raises(ValueError, match="there are red"):
        timeline.curve("violet")


def test_classify_answers_segments_too(client: AnyClient, clip: Path) -> None:
    result = client.classify(clip, segments=1.2, top_k=4)
    *_, streamed = client.stream(clip, segments=1.2, top_k=4)
    assert isinstance(streamed, Classification)
    assert result.segments
    assert (result.timeline, result.predictions) == (streamed.timeline, streamed.predictions)
    assert [segment.top.label for segment in result.segments] == ["red", "blue"]


def test_no_segments_asked_none_answered(client: AnyClient, clip: Path) -> None:
    *_, result = client.stream(clip)
    assert isinstance(result, Classification)
    assert (result.segments, result.timeline) == (None, None)


@pytest.mark.parametrize(
    ("segments", "told"),
    [("10s", "10s"), ("2m", "2m"), (10, "10s"), (1.5, "1.5s"), (1e-05, "0.00001s"), (1e16, f"{10**16}s")],
)
def test_the_length_of_segments_is_told_as_the_server_reads_it(
    connect: Connect, flaky: Flaky, segments: str | float, told: str
) -> None:
    server = flaky(answering(400))
    client = connect(server.url)
    for call in (client.classify, lambda *args, **options: list(client.stream(*args, **options))):
        with pytest.raises(BadRequest):
            call(b"video", segments=segments)
        assert server.exchanges[-1].query == {"segments": [told]}


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["segments", "deadline_s"])
def test_a_length_that_is_none_is_refused_at_once(client: AnyClient, name: str, value: float) -> None:
    options: dict[str, Any] = {name: value}
    with pytest.raises(ValueError, match=name):
        client.classify(b"video", **options)
    with pytest.raises(ValueError, match=name):
        client.stream(b"video", **options)


@pytest.mark.parametrize(
    ("options", "kind", "code"),
    [({"model": "missing"}, NotFound, "model_not_found"), ({"views": "5"}, BadRequest, "bad_parameter")],
    ids=["model", "views"],
)
def test_what_is_refused_before_the_stream_is_the_usual_error(
    client: AnyClient, clip: Path, options: dict[str, Any], kind: type[Exception], code: str
) -> None:
    events = client.stream(clip, **options)
    with pytest.raises(kind) as caught:
        next(events)
    assert getattr(caught.value, "code", None) == code


def test_an_error_within_the_stream_is_as_typed_as_any(client: AnyClient) -> None:
    events = client.stream(b"plain text, no video " * 50, request_id="broken")
    assert isinstance(next(events), Accepted)
    with pytest.raises(BadVideo) as caught:
        next(events)
    error = caught.value
    assert (error.code, error.status, error.request_id) == ("unsupported_container", 415, "broken")
    assert list(events) == []


def test_an_error_event_carries_everything(connect: Connect, flaky: Flaky) -> None:
    server = flaky(telling(ACCEPTED, failed("overloaded", 503, 7.5)))
    events = connect(server.url, retries=QUICK).stream(b"video")
    assert isinstance(next(events), Accepted)
    with pytest.raises(Unavailable) as caught:
        next(events)
    error = caught.value
    assert (error.code, error.message, error.status) == ("overloaded", "overloaded happened", 503)
    assert (error.request_id, error.retry_after_s) == ("from-server", 7.5)
    assert "already given out" in (error.hint or "")
    assert len(server.exchanges) == 1


BREAKS: dict[str, Step] = {
    "cut before an event": telling(cut=True),
    "ended before an event": telling(HEARTBEAT),
    "cut within the first event": telling(ACCEPTED[:20], cut=True),
    "failed at once": telling(failed("overloaded", 503)),
}


@pytest.mark.parametrize("broken", BREAKS.values(), ids=BREAKS.keys())
def test_what_breaks_before_its_first_event_is_tried_again(connect: Connect, flaky: Flaky, broken: Step) -> None:
    server = flaky(broken, broken, telling(*WHOLE))
    events = list(connect(server.url, retries=QUICK).stream(b"video"))
    assert kinds(events) == [Accepted, Decoded, Partial, Classification]
    assert [exchange.body for exchange in server.exchanges[-1:]] == [b"video"]
    assert len(server.exchanges) == 3


@pytest.mark.parametrize("cut", [True, False], ids=["reset", "ended"])
@pytest.mark.parametrize("count", [1, 3])
def test_a_stream_cut_after_its_first_event_is_an_error_and_never_told_twice(
    connect: Connect, flaky: Flaky, count: int, cut: bool
) -> None:
    server = flaky(telling(*WHOLE[:count], pause_s=0.01, cut=cut), telling(*WHOLE))
    events = connect(server.url, retries=QUICK).stream(b"video", request_id="mine")
    got: list[Event] = []
    with pytest.raises(ConnectionFailed) as caught:
        got.extend(events)
    assert (caught.value.code, caught.value.request_id) == ("connection_lost", "mine")
    assert "already given out" in (caught.value.hint or "")
    assert kinds(got) == [Accepted, Decoded, Partial][:count]
    assert len(server.exchanges) == 1


def test_a_source_that_cannot_rewind_is_not_streamed_twice(connect: Connect, flaky: Flaky) -> None:
    server = flaky(telling(cut=True), telling(*WHOLE))
    with pytest.raises(ConnectionFailed, match="cannot be read again"):
        list(connect(server.url, retries=QUICK).stream(iter([b"video"])))
    assert len(server.exchanges) == 1


def test_heartbeats_keep_the_read_timeout_from_firing(connect: Connect, flaky: Flaky) -> None:
    server = flaky(telling(ACCEPTED, *[HEARTBEAT] * 8, DECODED, PARTIAL, RESULT, pause_s=0.15))
    events = list(connect(server.url, timeouts=Timeouts(read_s=0.7)).stream(b"video"))
    assert kinds(events) == [Accepted, Decoded, Partial, Classification]


@pytest.mark.parametrize("deadline_s", [None, 30])
def test_a_silent_stream_is_a_read_timeout_whatever_the_deadline(
    connect: Connect, flaky: Flaky, deadline_s: float | None
) -> None:
    def silent(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.read_body()
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 9999\r\n\r\n"
        exchange.connection.sendall(head + ACCEPTED)
        exchange.stop.wait(30)

    events = connect(flaky(silent).url, timeouts=Timeouts(read_s=0.3)).stream(b"video", deadline_s=deadline_s)
    assert isinstance(next(events), Accepted)
    with pytest.raises(TimedOut) as caught:
        next(events)
    assert caught.value.code == "read_timeout"


def test_the_deadline_ends_a_stream_that_only_beats(connect: Connect, flaky: Flaky) -> None:
    server = flaky(telling(ACCEPTED, *[HEARTBEAT] * 1000, pause_s=0.05))
    events = connect(server.url).stream(b"video", deadline_s=1)
    began = time.monotonic()
    assert isinstance(next(events), Accepted)
    with pytest.raises(DeadlineExceeded) as caught:
        next(events)
    assert 0.5 < time.monotonic() - began < 5
    assert (caught.value.code, caught.value.status) == ("deadline_exceeded", None)
    assert 0 < int(server.exchanges[0].query["deadline_ms"][0]) < 1000


def test_the_servers_own_deadline_is_not_asked_again(connect: Connect, flaky: Flaky) -> None:
    server = flaky(telling(failed("deadline_exceeded", 504)))
    with pytest.raises(DeadlineExceeded) as caught:
        list(connect(server.url, retries=QUICK).stream(b"video", deadline_s=5))
    assert caught.value.status == 504
    assert len(server.exchanges) == 1


WRONG: dict[str, tuple[list[bytes], str]] = {
    "no json": ([b"event: partial\ndata: {\n\n"], "event 'partial' is not JSON"),
    "no utf-8": ([b'event: partial\ndata: {"a": "\xff"}\n\n'], "event 'partial' is not JSON"),
    "nesting": ([b"event: partial\ndata: " + b"[" * 100_000 + b"\n\n"], "event 'partial' is not JSON"),
    "another shape": ([event("decoded", {"video": {}})], "lacks views_total, segments_total, warnings"),
    "no predictions": ([event("partial", {"predictions": [], "views_done": 1, "views_total": 1})], "is empty"),
    "an error of no shape": ([event("error", {"error": "text"})], "event 'error'"),
}


@pytest.mark.parametrize(("pieces", "said"), WRONG.values(), ids=WRONG.keys())
def test_what_is_no_stream_of_this_api_is_told_and_not_asked_twice(
    connect: Connect, flaky: Flaky, pieces: list[bytes], said: str
) -> None:
    server = flaky(telling(*pieces))
    with pytest.raises(BadAnswer) as caught:
        list(connect(server.url, retries=QUICK).stream(b"video", request_id="mine"))
    assert said in str(caught.value)
    assert caught.value.request_id == "mine"
    assert len(server.exchanges) == 1


def test_an_event_without_an_end_is_not_kept(connect: Connect, flaky: Flaky, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("laps_client._attempts.MAX_ANSWER_BYTES", 1000)
    with pytest.raises(BadAnswer, match="longer than 1000"):
        list(connect(flaky(telling(b"data: " + b"x" * 2000)).url).stream(b"video"))


def test_events_of_a_newer_server_and_everything_after_the_result_are_left_out(connect: Connect, flaky: Flaky) -> None:
    newer = event("of_a_newer_server", {"any": "thing"})
    server = flaky(telling(newer, b"data: unnamed\n\n", ACCEPTED, newer, RESULT + PARTIAL + failed("internal", 500)))
    assert kinds(list(connect(server.url).stream(b"video"))) == [Accepted, Classification]


def test_an_internal_error_in_a_stream_is_a_server_error(connect: Connect, flaky: Flaky) -> None:
    with pytest.raises(ServerError):
        list(connect(flaky(telling(ACCEPTED, failed("internal", 500))).url).stream(b"video"))


def test_a_compressed_stream_is_understood(connect: Connect, flaky: Flaky) -> None:
    import zlib

    packer = zlib.compressobj(wbits=31)
    pieces = [packer.compress(piece) + packer.flush(zlib.Z_SYNC_FLUSH) for piece in WHOLE]
    server = flaky(telling(*pieces, packer.flush(), headers={"Content-Encoding": "gzip"}))
    assert kinds(list(connect(server.url).stream(b"video")))[-1] is Classification


def test_a_server_that_knows_no_streams_gives_the_result_alone(connect: Connect, flaky: Flaky) -> None:
    server = flaky(answering(200, BODY))
    events = list(connect(server.url).stream(b"video"))
    assert kinds(events) == [Classification]
    assert server.exchanges[0].headers["accept"] == "text/event-stream"


def test_classify_does_not_ask_for_events(connect: Connect, flaky: Flaky) -> None:
    server = flaky(answering(200, BODY))
    connect(server.url).classify(b"video")
    assert "event-stream" not in server.exchanges[0].headers["accept"]


def test_progress_is_told_while_a_stream_is_sent(client: AnyClient, clip: Path) -> None:
    calls: list[tuple[int, int | None]] = []
    list(client.stream(clip, on_progress=lambda sent, size: calls.append((sent, size))))
    size = clip.stat().st_size
    assert calls == [(0, size), (size, size)]


def test_what_the_callers_source_raises_passes_unchanged(client: AnyClient) -> None:
    mine = KeyError("mine")

    def parts() -> Iterator[bytes]:
        yield b"v"
        raise mine

    with pytest.raises(KeyError) as caught:
        list(client.stream(parts()))
    assert caught.value is mine


@pytest.fixture(scope="module")
def slow(folder: Path) -> Iterator[ServerProcess]:
    """A view takes some tenths of a second, with heartbeats meanwhile."""
    write_model(folder / "slow", graph=slow_graph(frames=4, size=32, classes=4, rounds=4))
    with running_server(folder / "slow", env={"LAPS_MAX_BATCH_VIEWS": "1", "LAPS_HEARTBEAT_S": "0.1"}) as process:
        yield process


LEFT = re.compile("the client left during its answer")


@contextmanager
def leaving(server: ServerProcess) -> Iterator[None]:
    """Waits until the server says that the client of the block has left, and that it works for nobody."""
    before = len(server.log)
    yield
    deadline = time.monotonic() + 10
    while not any(LEFT.search(line) for line in server.log[before:]):
        assert time.monotonic() < deadline, "".join(server.log[before:])
        time.sleep(0.02)


def test_closing_the_iterator_closes_the_connection(connect: Connect, slow: ServerProcess, clip: Path) -> None:
    client = connect(slow.url)
    with leaving(slow), closing(client.stream(clip, views="64x3")) as events:
        assert kinds([next(events), next(events)]) == [Accepted, Decoded]
    assert client.ready(), "the client serves on"


def test_a_loop_left_early_closes_the_connection(slow: ServerProcess, clip: Path) -> None:
    with LapsClient(slow.url) as client, leaving(slow):
        for item in client.stream(clip, views="64x3"):
            if isinstance(item, Decoded):
                break


async def test_an_async_loop_left_early_closes_the_connection(slow: ServerProcess, clip: Path) -> None:
    async with AsyncLapsClient(slow.url) as client:
        with leaving(slow):
            async with aclosing(client.stream(clip, views="64x3")) as events:
                async for item in events:
                    if isinstance(item, Decoded):
                        break


async def test_a_cancelled_task_closes_its_stream(slow: ServerProcess, clip: Path) -> None:
    seen: list[Event] = []

    async def follow(client: AsyncLapsClient) -> None:
        async for item in client.stream(clip, views="64x3"):
            seen.append(item)

    async with AsyncLapsClient(slow.url) as client:
        with leaving(slow):
            task = asyncio.create_task(follow(client))
            while not seen:
                await asyncio.sleep(0.02)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
    assert Classification not in kinds(seen)


def test_a_silence_that_the_servers_heartbeats_break_is_none(connect: Connect, slow: ServerProcess, clip: Path) -> None:
    client = connect(slow.url, timeouts=Timeouts(read_s=1))
    began = time.monotonic()
    connect(slow.url).classify(clip, views="1x1")
    view_s = time.monotonic() - began
    views = min(64, 1 + round(3 / view_s))  # a segment of them takes longer than the timeout, on any machine
    began = time.monotonic()
    *before, last = client.stream(clip, views=f"{views}x1", segments="2s")
    assert time.monotonic() - began > 1
    assert kinds([*before, last]) == [Accepted, Decoded, SegmentDone, Classification]


def test_events_are_given_out_as_they_come(connect: Connect, flaky: Flaky) -> None:
    seen = threading.Semaphore(1)

    def one_by_one(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.read_body()
        exchange.connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        for piece in WHOLE:
            assert seen.acquire(timeout=30), "the event before was not given out"
            exchange.connection.sendall(piece)

    for _ in connect(flaky(one_by_one).url).stream(b"video"):
        seen.release()


async def test_a_deadline_cancels_nothing_that_the_caller_does_between_events(flaky: Flaky) -> None:
    server = flaky(telling(*WHOLE, pause_s=0.1))
    async with AsyncLapsClient(server.url) as client:
        events = client.stream(b"video", deadline_s=1)
        assert isinstance(await anext(events), Accepted)
        await asyncio.sleep(1.2)
        with pytest.raises(DeadlineExceeded):
            await anext(events)


def test_a_proxy_that_drops_and_refuses_before_the_stream_costs_retries_alone(
    connect: Connect, flaky: Flaky, server: ServerProcess, clip: Path
) -> None:
    proxy = flaky(
        dropping_after(500),
        failing(503, "overloaded", {"Retry-After": "0"}),
        answering(502, b"<html>Bad Gateway</html>"),
        forwarding(server.url),
    )
    retries = RetryPolicy(attempts=4, backoff_s=0.02, max_backoff_s=0.02)
    events = list(connect(proxy.url, retries=retries).stream(clip, segments="1s", views="1x1"))
    assert kinds(events) == [Accepted, Decoded, SegmentDone, SegmentDone, Classification]
    assert len(proxy.exchanges) == 4


def test_a_proxy_that_cuts_the_stream_is_told_and_the_next_try_is_whole(
    connect: Connect, flaky: Flaky, server: ServerProcess, clip: Path
) -> None:
    proxy = flaky(cutting(server.url, b"event: decoded"), forwarding(server.url))
    client = connect(proxy.url, retries=QUICK)
    got: list[Event] = []
    with pytest.raises(ConnectionFailed) as caught:
        got.extend(client.stream(clip))
    assert "already given out" in (caught.value.hint or "")
    assert len(proxy.exchanges) == 1
    assert kinds(list(client.stream(clip)))[-1] is Classification
