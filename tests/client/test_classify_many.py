"""Many files at once, in threads and in tasks: completion order, bounds, bad files, an early end."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, aclosing, closing, suppress
from pathlib import Path
from typing import Any

import pytest

from client.conftest import Connect
from laps_client import (
    Accepted,
    AsyncLapsClient,
    BadRequest,
    BadVideo,
    Classification,
    ConnectionFailed,
    Decoded,
    Event,
    LapsClient,
    LapsError,
    Outcome,
    Partial,
    RetryPolicy,
)
from laps_client._concurrency import in_tasks, in_threads
from laps_client._interrupt import Interrupt
from laps_client._parsing import from_json
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
from support.live_servers import ServerProcess
from support.response_bodies import BODY
from support.scripted_streams import ACCEPTED, WHOLE, failed, telling

QUICK = RetryPolicy(attempts=3, backoff_s=0.02, max_backoff_s=0.02)
RESULT = from_json(Classification, BODY)

Flaky = Callable[..., FlakyServer]


@pytest.fixture
def flaky() -> Iterator[Flaky]:
    with ExitStack() as stack:
        yield lambda *script: stack.enter_context(flaky_server(*script))


def files(folder: Path, count: int) -> list[Path]:
    made = [folder / f"{number}.mp4" for number in range(count)]
    for number, path in enumerate(made):
        path.write_bytes(b"%d" % number)
    return made


def answering_body(exchange: Exchange) -> None:
    exchange.answer(200, json.dumps(BODY | {"request_id": exchange.body.decode()}).encode())


def answering_by_number(delay_s: Callable[[int], float]) -> Step:
    """Answers the file whose whole content is a number after a time of its own."""

    def step(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.read_body()
        exchange.stop.wait(delay_s(int(exchange.body)))
        answering_body(exchange)

    return step


def test_every_file_has_an_outcome_and_a_bad_one_stops_nobody(
    connect: Connect, server: ServerProcess, clip: Path, tmp_path: Path
) -> None:
    text = tmp_path / "text.mp4"
    text.write_bytes(b"plain text, no video " * 50)
    paths: list[Path | str] = [clip, text, tmp_path / "missing.mp4", str(clip), tmp_path]
    outcomes = list(connect(server.url).classify_many(paths, concurrency=2, views="1x1", top_k=2))
    found = {id(outcome.path): outcome for outcome in outcomes}
    assert len(outcomes) == len(paths)
    good, bad, missing, again, folder = (found[id(path)] for path in paths)
    assert good.unwrap().top.label == again.unwrap().top.label == "red"
    assert (len(good.unwrap().predictions), good.unwrap().views.used, good.error) == (2, 1, None)
    assert isinstance(bad.error, BadVideo)
    assert bad.result is None
    with pytest.raises(BadVideo):
        bad.unwrap()
    for outcome, said in ((missing, "No such file"), (folder, "Is a directory")):
        assert type(outcome.error) is BadRequest
        assert outcome.error.code == "source_unreadable"
        assert str(outcome.path) in outcome.error.message
        assert said in outcome.error.message


def test_outcomes_come_in_the_order_of_completion(connect: Connect, flaky: Flaky, tmp_path: Path) -> None:
    paths = files(tmp_path, 3)
    server = flaky(answering_by_number(lambda number: [1.2, 0.1, 0.6][number]))
    outcomes = list(connect(server.url).classify_many(paths, concurrency=3))
    assert [outcome.path for outcome in outcomes] == [paths[1], paths[2], paths[0]]
    assert [outcome.unwrap().request_id for outcome in outcomes] == ["1", "2", "0"]


def test_no_more_files_are_in_flight_than_asked_for(connect: Connect, flaky: Flaky, tmp_path: Path) -> None:
    inside, most = 0, 0
    lock = threading.Lock()

    def step(exchange: Exchange) -> None:
        nonlocal inside, most
        exchange.read_head()
        exchange.read_body()
        with lock:
            inside += 1
            most = max(most, inside)
        exchange.stop.wait(0.1)
        with lock:
            inside -= 1
        answering_body(exchange)

    server = flaky(step)
    assert len(list(connect(server.url).classify_many(files(tmp_path, 10), concurrency=3))) == 10
    assert most == 3


def test_paths_are_taken_as_their_turn_comes(connect: Connect, flaky: Flaky, tmp_path: Path) -> None:
    path = files(tmp_path, 1)[0]
    taken = 0

    def endless() -> Iterator[Path]:
        nonlocal taken
        while True:
            taken += 1
            yield path

    with closing(connect(flaky(answering(200, BODY)).url).classify_many(endless(), concurrency=2)) as outcomes:
        for number in range(1, 20):
            assert next(outcomes).result is not None
            assert taken <= number + 2


def test_a_flaky_server_costs_retries_and_no_files(
    connect: Connect, flaky: Flaky, server: ServerProcess, clip: Path
) -> None:
    forward = forwarding(server.url)
    flaky_server = flaky(
        dropping_after(500),
        failing(503, "overloaded", {"Retry-After": "0"}),
        forward,
        answering(502, b"<html>"),
        forward,
    )
    outcomes = list(connect(flaky_server.url, retries=QUICK).classify_many([clip] * 4, concurrency=1))
    assert [outcome.unwrap().top.label for outcome in outcomes] == ["red"] * 4
    assert len(flaky_server.exchanges) == 7


@pytest.mark.server
def test_an_unreachable_server_is_an_outcome_too(connect: Connect, tmp_path: Path) -> None:
    client = connect("http://127.0.0.1:9", retries=RetryPolicy(attempts=1))
    outcomes = list(client.classify_many(files(tmp_path, 3)))
    assert [type(outcome.error) for outcome in outcomes] == [ConnectionFailed] * 3


def test_progress_names_the_path(connect: Connect, flaky: Flaky, tmp_path: Path) -> None:
    paths = files(tmp_path, 12)
    calls: list[tuple[Path, int, int | None]] = []
    server = flaky(answering(200, BODY))
    list(connect(server.url).classify_many(paths, on_progress=lambda *told: calls.append(told)))
    assert sorted(calls) == sorted(
        (path, sent, path.stat().st_size) for path in paths for sent in (0, path.stat().st_size)
    )


def test_events_name_the_path(connect: Connect, server: ServerProcess, clip: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_bytes(b"plain text, no video " * 50)
    told: dict[Path, list[Event]] = {clip: [], text: []}
    many = connect(server.url).classify_many(
        [clip, text], views="2x1", on_event=lambda path, item: told[path].append(item)
    )
    outcomes = {outcome.path: outcome for outcome in many}
    assert [type(item) for item in told[clip]] == [Accepted, Decoded, Partial, Partial]
    assert outcomes[clip].unwrap().top.label == "red"
    assert [type(item) for item in told[text]] == [Accepted]
    assert isinstance(outcomes[text].error, BadVideo)


def test_a_stream_that_is_cut_is_told_again_and_costs_no_file(
    connect: Connect, flaky: Flaky, server: ServerProcess, clip: Path
) -> None:
    told: list[type[Event]] = []
    cut = cutting(server.url, b"event: partial")
    proxy = flaky(cut, telling(ACCEPTED, failed("overloaded", 503)), forwarding(server.url))
    (outcome,) = connect(proxy.url, retries=QUICK).classify_many(
        [clip], views="1x1", on_event=lambda _, item: told.append(type(item))
    )
    assert outcome.unwrap().top.label == "red"
    assert told[:2] == [Accepted, Decoded]
    assert told[-4:] == [Accepted, Accepted, Decoded, Partial]
    assert len(proxy.exchanges) == 3


def test_nothing_in_nothing_out(connect: Connect, server: ServerProcess) -> None:
    assert list(connect(server.url).classify_many([])) == []


@pytest.mark.parametrize("concurrency", [0, -1])
def test_a_concurrency_of_none_is_refused_at_once(connect: Connect, server: ServerProcess, concurrency: int) -> None:
    with pytest.raises(ValueError, match="concurrency"):
        connect(server.url).classify_many([], concurrency=concurrency)


def test_what_the_callers_paths_raise_comes_after_the_files_before(
    connect: Connect, flaky: Flaky, tmp_path: Path
) -> None:
    paths = files(tmp_path, 3)
    mine = KeyError("mine")

    def failing_paths() -> Iterator[Path]:
        yield from paths
        raise mine

    got: list[Outcome[Path]] = []
    server = flaky(answering(200, BODY, after_s=0.2))
    with pytest.raises(KeyError) as caught:
        got.extend(connect(server.url).classify_many(failing_paths(), concurrency=2))
    assert caught.value is mine
    assert sorted(outcome.path for outcome in got) == paths


@pytest.mark.parametrize("wrong", [3, None, b"bytes"])
def test_what_is_no_path_is_a_type_error(connect: Connect, server: ServerProcess, wrong: Any) -> None:
    with pytest.raises(TypeError, match="not"):
        list(connect(server.url).classify_many([wrong]))


@pytest.mark.parametrize("kind", [KeyError, OSError])
def test_what_the_callback_raises_passes_unchanged(
    connect: Connect, flaky: Flaky, tmp_path: Path, kind: type[Exception]
) -> None:
    mine = kind("mine")

    def callback(*_: object) -> None:
        raise mine

    client = connect(flaky(telling(*WHOLE)).url)
    for name in ("on_progress", "on_event"):
        options: dict[str, Any] = {name: callback}
        with pytest.raises(kind) as caught:
            list(client.classify_many(files(tmp_path, 3), **options))
        assert caught.value is mine


def wait_until(condition: Callable[[], bool], timeout_s: float = 10) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Watching:
    """A server that works until its client leaves, and knows when it has."""

    def __init__(self) -> None:
        self.working = 0
        self.left = 0
        self._lock = threading.Lock()

    def __call__(self, exchange: Exchange) -> None:
        exchange.read_head()
        exchange.read_body()
        if exchange.body == b"0":
            answering_body(exchange)
            return
        with self._lock:
            self.working += 1
        with suppress(OSError):
            exchange.connection.recv(1)  # nothing comes but the end
        with self._lock:
            self.left += 1


def test_closing_early_ends_the_calls_that_run(connect: Connect, flaky: Flaky, tmp_path: Path) -> None:
    watching = Watching()
    client = connect(flaky(watching).url)
    paths = files(tmp_path, 5)
    outcomes = client.classify_many(paths, concurrency=4)
    assert next(outcomes).path == paths[0]
    if isinstance(client, LapsClient):  # the other's loop stands still between two outcomes
        wait_until(lambda: watching.working >= 3)
    began = time.monotonic()
    outcomes.close()
    assert time.monotonic() - began < 2
    wait_until(lambda: watching.left == watching.working)
    assert not [thread for thread in threading.enumerate() if thread.name == "laps-classify"]
    assert list(outcomes) == []


def test_closing_early_ends_streams_too(flaky: Flaky, tmp_path: Path) -> None:
    left = threading.Event()

    def stay(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.read_body()
        exchange.connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + ACCEPTED)
        with suppress(OSError):
            exchange.connection.recv(1)
        left.set()

    told: list[Event] = []
    with LapsClient(flaky(answering(200, BODY), stay).url) as client:
        outcomes = client.classify_many(files(tmp_path, 2), concurrency=1, on_event=lambda _, item: told.append(item))
        assert next(outcomes).result is not None
        wait_until(lambda: len(told) == 1)
        assert not left.is_set()
        outcomes.close()
        assert left.wait(10)
    assert not [thread for thread in threading.enumerate() if thread.name == "laps-classify"]


def test_an_earlier_connection_is_not_in_the_way_of_closing(flaky: Flaky, tmp_path: Path) -> None:
    watching = Watching()
    ok = answering(200, BODY, {"Connection": "keep-alive"})
    server = flaky(ok, watching)
    with LapsClient(server.url) as client:
        client.classify(b"video")
        paths = files(tmp_path, 3)
        outcomes = client.classify_many(paths, concurrency=3)
        assert next(outcomes).path == paths[0]
        wait_until(lambda: watching.working == 2)
        outcomes.close()
        wait_until(lambda: watching.left == 2)


def test_closing_early_ends_an_upload_and_a_wait_between_attempts(flaky: Flaky, tmp_path: Path) -> None:
    big = tmp_path / "big.mp4"
    with big.open("wb") as file:
        file.truncate(64 << 20)
    reading = threading.Event()

    def stuck(exchange: Exchange) -> None:
        exchange.read_head()
        reading.set()
        exchange.stop.wait(30)

    first = answering(200, BODY)
    server = flaky(first, stuck, failing(503, "overloaded", {"Retry-After": "50"}))
    with LapsClient(server.url) as client:
        outcomes = client.classify_many([files(tmp_path, 1)[0], big, files(tmp_path, 1)[0]], concurrency=1)
        assert next(outcomes).result is not None
        assert reading.wait(10)
        began = time.monotonic()
        outcomes.close()
        assert time.monotonic() - began < 2
        assert not [thread for thread in threading.enumerate() if thread.name == "laps-classify"]
    waiting = flaky(first, failing(503, "overloaded", {"Retry-After": "50"}))
    with LapsClient(waiting.url) as client:
        outcomes = client.classify_many([files(tmp_path, 1)[0]] * 2, concurrency=1)
        assert next(outcomes).result is not None
        wait_until(lambda: len(waiting.exchanges) == 2)
        time.sleep(0.3)
        began = time.monotonic()
        outcomes.close()
        assert time.monotonic() - began < 2
        assert not [thread for thread in threading.enumerate() if thread.name == "laps-classify"]


async def test_a_cancelled_task_ends_its_files(flaky: Flaky, tmp_path: Path) -> None:
    watching = Watching()

    async def follow(client: AsyncLapsClient) -> None:
        async for _ in client.classify_many(files(tmp_path, 5)[1:], concurrency=4):
            pass

    async with AsyncLapsClient(flaky(watching).url) as client:
        task = asyncio.create_task(follow(client))
        while watching.working < 4:
            await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(wait_until, lambda: watching.left == 4)


async def test_files_that_are_done_are_told_while_paths_are_waited_for(flaky: Flaky, tmp_path: Path) -> None:
    go_on = asyncio.Event()
    path = files(tmp_path, 1)[0]

    async def arriving() -> AsyncIterator[Path]:
        yield path
        await go_on.wait()
        yield path

    async with (
        AsyncLapsClient(flaky(answering(200, BODY)).url) as client,
        aclosing(client.classify_many(arriving(), concurrency=4)) as outcomes,
    ):
        assert (await asyncio.wait_for(anext(outcomes), 10)).path is path
        go_on.set()
        assert (await asyncio.wait_for(anext(outcomes), 10)).path is path
        assert await anext(outcomes, None) is None


def test_a_failed_outcome_without_an_error_still_raises() -> None:
    with pytest.raises(LapsError):
        Outcome("a", None, None).unwrap()


def test_a_defect_in_a_thread_is_raised_where_it_is_seen() -> None:
    def classify(path: str) -> Classification:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(in_threads(["a"], classify, concurrency=1, interrupt=Interrupt()))


async def test_a_slow_caller_holds_back_no_place() -> None:
    """While the caller looks at one outcome, the next files run."""
    begun: list[str] = []

    async def classify(path: str) -> Classification:
        begun.append(path)
        return RESULT

    async with aclosing(in_tasks(list("abcdef"), classify, concurrency=2)) as outcomes:
        assert (await anext(outcomes)).path == "a"
        await asyncio.sleep(0.05)
        assert begun == ["a", "b", "c"]
