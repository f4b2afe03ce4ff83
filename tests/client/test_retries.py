"""Retries as sockets show them: both clients against a server that drops, refuses, cuts short and dawdles.

Which outcome of an attempt is followed by another, and after how long, is tested in test_attempts.py and
test_retry_policy.py.
"""

from __future__ import annotations

import io
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from client.conftest import Connect
from laps_client import (
    BadAnswer,
    BadRequest,
    ConnectionFailed,
    DeadlineExceeded,
    Forbidden,
    LapsError,
    NotFound,
    RetryPolicy,
    ServerError,
    TimedOut,
    Timeouts,
    Unauthorized,
    Unavailable,
)
from support.flaky_server import (
    Exchange,
    FlakyServer,
    Step,
    answering,
    counting,
    cutting_short,
    dropping,
    dropping_after,
    failing,
    flaky_server,
    forwarding,
    never_reading,
    trickling,
)
from support.live_servers import ServerProcess

QUICK = RetryPolicy(attempts=3, backoff_s=0.02, max_backoff_s=0.02)
DAWDLES_S = 30
BEFORE_IT_ANSWERS_S = 15  # generous: how exactly a deadline is kept is tested on a clock of the test's own
LARGE = b"v" * 20_000_000  # more than the buffers of two sockets hold

Flaky = Callable[..., FlakyServer]


@pytest.fixture
def flaky() -> Iterator[Flaky]:
    with ExitStack() as stack:
        yield lambda *script: stack.enter_context(flaky_server(*script))


@pytest.fixture
def forward(server: ServerProcess) -> Step:
    return forwarding(server.url)


BREAKS: dict[str, Step] = {
    "dropped before a byte": dropping,
    "dropped within the upload": dropping_after(500),
    "answer cut short": cutting_short(b'{"request_id": "half"}' * 100),
    "502 of a proxy": answering(502, b"<html>Bad Gateway</html>", {"Content-Type": "text/html"}),
    "500 of a proxy that lost its server": answering(500, b"Internal Server Error", {"Content-Type": "text/plain"}),
    "503": failing(503, "overloaded"),
}


@pytest.mark.parametrize("broken", BREAKS.values(), ids=BREAKS.keys())
def test_what_may_pass_is_tried_again_with_the_whole_video(
    connect: Connect, flaky: Flaky, forward: Step, clip: Path, broken: Step
) -> None:
    flaky_server = flaky(broken, broken, forward)
    with clip.open("rb") as file:
        file.seek(0)
        for video in (clip, file):
            flaky_server.exchanges.clear()
            result = connect(flaky_server.url, retries=QUICK).classify(video, request_id="same")
            assert (result.top.label, result.request_id) == ("red", "same")
            assert len(flaky_server.exchanges) == 3
            assert flaky_server.exchanges[-1].body == clip.read_bytes()
            assert flaky_server.exchanges[-1].headers["x-request-id"] == "same"


def test_a_file_is_rewound_to_where_it_stood(connect: Connect, flaky: Flaky, forward: Step, clip: Path) -> None:
    flaky_server = flaky(dropping_after(500), forward)
    file = io.BytesIO(b"before" + clip.read_bytes())
    file.seek(6)
    assert connect(flaky_server.url, retries=QUICK).classify(file).top.label == "red"
    assert flaky_server.exchanges[-1].body == clip.read_bytes()


def test_what_would_only_fail_again_is_not_tried_again(connect: Connect, flaky: Flaky) -> None:
    for status, code, kind in [
        (500, "internal", ServerError),
        (401, "unauthorized", Unauthorized),
        (403, "forbidden", Forbidden),
    ]:
        flaky_server = flaky(failing(status, code))
        with pytest.raises(kind) as caught:
            connect(flaky_server.url, retries=QUICK).classify(b"video")
        assert (caught.value.code, caught.value.request_id) == (code, "from-server")
        assert len(flaky_server.exchanges) == 1


@pytest.mark.parametrize(
    ("broken", "kind", "status", "code"),
    [
        (dropping, ConnectionFailed, None, "connection_lost"),
        (cutting_short(b"{}" * 100), ConnectionFailed, None, "connection_lost"),
        (failing(503, "overloaded"), Unavailable, 503, "overloaded"),
    ],
    ids=["drop", "cut short", "503"],
)
def test_the_last_attempts_error_is_raised(
    connect: Connect, flaky: Flaky, broken: Step, kind: type[LapsError], status: int | None, code: str
) -> None:
    flaky_server = flaky(broken)
    with pytest.raises(LapsError) as caught:
        connect(flaky_server.url, retries=QUICK).classify(b"video", request_id="mine")
    error = caught.value
    assert (type(error), error.status) == (kind, status)
    # A reset so early may already fail the connecting.
    assert error.code == code or (broken is dropping and error.code == "connect_failed")
    assert error.request_id == ("from-server" if code == "overloaded" else "mine")
    assert len(flaky_server.exchanges) == QUICK.attempts


def test_reads_of_the_api_are_tried_again_too(connect: Connect, flaky: Flaky, forward: Step) -> None:
    flaky_server = flaky(dropping, failing(503, "overloaded"), forward, failing(503, "overloaded"), forward)
    client = connect(flaky_server.url, retries=QUICK)
    assert [model.name for model in client.models()] == ["colours", "untrained"]
    assert client.model("colours").name == "colours"


@pytest.mark.parametrize(("status", "code"), [(503, "overloaded"), (429, "quota_exceeded")])
def test_retry_after_is_waited_for(
    connect: Connect, flaky: Flaky, forward: Step, clip: Path, status: int, code: str
) -> None:
    flaky_server = flaky(failing(status, code, {"Retry-After": "0.5"}), forward)
    assert connect(flaky_server.url, retries=QUICK).classify(clip).top.label == "red"
    assert flaky_server.waits_s[0] >= 0.5


def test_a_source_that_cannot_rewind_is_never_sent_twice(connect: Connect, flaky: Flaky) -> None:
    flaky_server = flaky(dropping_after(500))
    with pytest.raises(Unavailable) as caught:
        connect(flaky_server.url, retries=QUICK).classify(b"v" * 1000 for _ in range(10))
    assert len(flaky_server.exchanges) == 1
    assert "cannot be read again" in (caught.value.hint or "")


def test_a_source_that_cannot_rewind_waits_for_the_connection(connect: Connect, forward: Step, clip: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    got: list[bytes] = []
    done = threading.Event()

    def serve_late() -> None:
        time.sleep(0.3)
        with flaky_server(forward, port=port) as late:
            done.wait(10)
            got.extend(exchange.body for exchange in late.exchanges)

    thread = threading.Thread(target=serve_late)
    thread.start()
    client = connect(f"http://127.0.0.1:{port}", retries=RetryPolicy(attempts=200, backoff_s=0.05, max_backoff_s=0.05))
    result = client.classify(part for part in [clip.read_bytes()])
    done.set()
    thread.join()
    assert result.top.label == "red"
    assert got == [clip.read_bytes()]


def test_progress_starts_again_with_each_attempt(connect: Connect, flaky: Flaky, forward: Step, clip: Path) -> None:
    calls: list[tuple[int, int | None]] = []
    flaky_server = flaky(failing(503, "overloaded"), forward)
    connect(flaky_server.url, retries=QUICK).classify(clip, on_progress=lambda sent, size: calls.append((sent, size)))
    size = clip.stat().st_size
    assert calls == [(0, size), (size, size)] * 2


def test_the_client_wide_total_bounds_calls_without_a_deadline(connect: Connect, flaky: Flaky) -> None:
    flaky_server = flaky(answering(200, b"{}", after_s=DAWDLES_S))
    client = connect(flaky_server.url, timeouts=Timeouts(total_s=0.4))
    for call in (lambda: client.classify(b"video"), client.models):
        began = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            call()
        assert 0.3 < time.monotonic() - began < BEFORE_IT_ANSWERS_S
    assert all("deadline_ms" not in exchange.query for exchange in flaky_server.exchanges)


SLOW: dict[str, Step] = {
    "silent": answering(200, b"{}", after_s=DAWDLES_S),
    "trickling": trickling(b"{}" * 150, 0.1),
    "not reading": never_reading,
}


@pytest.mark.parametrize("slow", SLOW.values(), ids=SLOW.keys())
def test_a_deadline_bounds_a_server_that_dawdles(connect: Connect, flaky: Flaky, slow: Step) -> None:
    flaky_server = flaky(slow)
    video = LARGE if slow is never_reading else b"video"
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded) as caught:
        connect(flaky_server.url, retries=QUICK).classify(video, deadline_s=0.6, request_id="late")
    assert (caught.value.status, caught.value.request_id) == (None, "late")
    assert 0.5 < time.monotonic() - began < BEFORE_IT_ANSWERS_S


def test_a_deadline_bounds_a_source_that_dawdles(connect: Connect, flaky: Flaky) -> None:
    def parts() -> Iterator[bytes]:
        for _ in range(100):
            time.sleep(0.05)
            yield b"v"

    began = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        connect(flaky(answering(200)).url).classify(parts(), deadline_s=0.5)
    assert time.monotonic() - began < 4, "not for as long as the source takes"


def test_the_server_is_told_what_is_left_of_the_deadline(
    connect: Connect, flaky: Flaky, forward: Step, clip: Path
) -> None:
    flaky_server = flaky(failing(503, "overloaded"), forward)
    connect(flaky_server.url, retries=QUICK).classify(clip, deadline_s=60)
    first, second = (int(exchange.query["deadline_ms"][0]) for exchange in flaky_server.exchanges)
    assert 0 < second < first < 60_000


def test_a_silent_server_is_a_read_timeout_and_not_asked_twice(connect: Connect, flaky: Flaky) -> None:
    flaky_server = flaky(answering(200, b"{}", after_s=DAWDLES_S))
    with pytest.raises(TimedOut) as caught:
        connect(flaky_server.url, retries=QUICK, timeouts=Timeouts(read_s=0.3)).classify(b"video")
    assert caught.value.code == "read_timeout"
    assert len(flaky_server.exchanges) == 1


def test_a_deadline_of_the_call_is_waited_for_however_short_the_read_timeout(
    connect: Connect, flaky: Flaky, forward: Step, clip: Path
) -> None:
    def late(exchange: Exchange) -> None:
        exchange.stop.wait(0.6)
        forward(exchange)

    client = connect(flaky(late).url, retries=QUICK, timeouts=Timeouts(read_s=0.2))
    assert client.classify(clip, deadline_s=20).top.label == "red"


def test_a_server_that_takes_no_bytes_is_a_write_timeout(connect: Connect, flaky: Flaky) -> None:
    flaky_server = flaky(never_reading)
    policy = RetryPolicy(attempts=2, backoff_s=0.02)
    with pytest.raises(TimedOut) as caught:
        connect(flaky_server.url, retries=policy, timeouts=Timeouts(write_s=0.3)).classify(LARGE)
    assert caught.value.code == "write_timeout"
    assert len(flaky_server.exchanges) == 2


def test_nothing_listening_is_a_failed_connection_and_not_ready(connect: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}"
    client = connect(url, retries=QUICK)
    with pytest.raises(ConnectionFailed) as caught:
        client.classify(b"video")
    assert (caught.value.code, caught.value.status) == ("connect_failed", None)
    assert url in caught.value.message
    readiness = client.ready()
    assert not readiness
    assert url in (readiness.reason or "")


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (answering(503, {"status": "unavailable", "reason": "loading colours"}), "loading colours"),
        (answering(503, b"<html>", {"Content-Type": "text/html"}), "HTTP 503 with text/html"),
        (answering(502, b""), "HTTP 502"),
        (dropping, "127.0.0.1"),
    ],
    ids=["loading", "proxy's 503", "502", "drop"],
)
def test_not_ready_has_a_reason_and_is_asked_once(connect: Connect, flaky: Flaky, step: Step, reason: str) -> None:
    flaky_server = flaky(step)
    readiness = connect(flaky_server.url, retries=QUICK).ready()
    assert not readiness
    assert reason in (readiness.reason or "")
    assert len(flaky_server.exchanges) == 1


def test_a_silent_server_is_soon_not_ready(connect: Connect, flaky: Flaky, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("laps_client._endpoints._READY_S", 0.3)
    flaky_server = flaky(answering(200, b"{}", after_s=DAWDLES_S))
    began = time.monotonic()
    readiness = connect(flaky_server.url).ready()
    assert time.monotonic() - began < BEFORE_IT_ANSWERS_S
    assert not readiness
    assert "no answer" in (readiness.reason or "")


def test_ready_of_another_service_is_an_error(connect: Connect, flaky: Flaky) -> None:
    with pytest.raises(NotFound):
        connect(flaky(answering(404, b"nothing here")).url).ready()


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (answering(200, b"<html>hello</html>", {"Content-Type": "text/html; charset=utf-8"}), "text/html"),
        (answering(307, b"", {"Location": "https://elsewhere.example/classify"}), "https://elsewhere.example"),
        (answering(200, b"not gzip", {"Content-Encoding": "gzip"}), ""),
    ],
    ids=["page", "redirect", "encoding"],
)
def test_what_is_not_this_apis_answer_is_told_and_not_asked_twice(
    connect: Connect, flaky: Flaky, step: Step, said: str
) -> None:
    flaky_server = flaky(step)
    with pytest.raises(BadAnswer) as caught:
        connect(flaky_server.url, retries=QUICK).classify(b"video", request_id="mine")
    assert said in str(caught.value)
    assert caught.value.request_id == "mine"
    assert len(flaky_server.exchanges) == 1


def test_an_answer_without_an_end_is_not_kept(connect: Connect, flaky: Flaky, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("laps_client._attempts.MAX_ANSWER_BYTES", 1000)
    with pytest.raises(BadAnswer, match="longer than 1000"):
        connect(flaky(answering(200, b" " * 2000)).url).models()


@pytest.mark.parametrize("kind", [KeyError, OSError, TimeoutError, httpx.ReadError, BadAnswer])
@pytest.mark.parametrize("place", ["source", "callback"])
def test_what_the_caller_raises_passes_unchanged(
    connect: Connect, flaky: Flaky, kind: type[Exception], place: str
) -> None:
    flaky_server = flaky(answering(200))
    mine = kind("mine")

    def parts() -> Iterator[bytes]:
        yield b"v"
        if place == "source":
            raise mine

    def callback(sent: int, size: int | None) -> None:
        if place == "callback" and sent:
            raise mine

    with pytest.raises(kind) as caught:
        connect(flaky_server.url, retries=QUICK).classify(parts(), on_progress=callback)
    assert caught.value is mine
    assert len(flaky_server.exchanges) <= 1


def test_sizes_are_declared_where_they_are_known(connect: Connect, flaky: Flaky, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"v" * 300_000)
    known: list[Any] = [path, b"v" * 300_000, [b"v" * 300_000], path.open("rb")]
    flaky_server = flaky(answering(400))
    client = connect(flaky_server.url)
    for video in [*known, iter([b"v" * 300_000])]:
        with pytest.raises(BadRequest):
            client.classify(video)
    known[-1].close()
    headers = [exchange.headers for exchange in flaky_server.exchanges]
    assert [item.get("content-length") for item in headers] == ["300000"] * len(known) + [None]
    assert [item.get("transfer-encoding") for item in headers] == [None] * len(known) + ["chunked"]
    assert [exchange.body for exchange in flaky_server.exchanges] == [b"v" * 300_000] * (len(known) + 1)
    assert {item["content-type"] for item in headers} == {"application/octet-stream"}
    assert {item["user-agent"].split("/")[0] for item in headers} == {"laps-client"}


def test_options_at_their_defaults_and_unknown_to_an_older_server_are_not_sent(connect: Connect, flaky: Flaky) -> None:
    flaky_server = flaky(answering(400))
    with pytest.raises(BadRequest):
        connect(flaky_server.url, headers={"Authorization": "Bearer t"}).classify(b"video")
    assert flaky_server.exchanges[0].target == "/classify"
    assert flaky_server.exchanges[0].headers["authorization"] == "Bearer t"


def test_a_file_that_shrinks_is_told_and_one_that_grows_is_sent_as_it_was(
    connect: Connect, flaky: Flaky, tmp_path: Path
) -> None:
    flaky_server = flaky(answering(400))
    client = connect(flaky_server.url, retries=QUICK)
    path = tmp_path / "file"

    def change(to: int) -> Callable[[int, int | None], None]:
        def callback(sent: int, size: int | None) -> None:
            if sent == 0:
                with path.open("r+b") as file:
                    file.truncate(to)

        return callback

    path.write_bytes(b"v" * 1000)
    with pytest.raises(BadRequest) as caught:
        client.classify(path, on_progress=change(400))
    assert caught.value.code == "source_changed"
    assert "600 bytes" in caught.value.message
    path.write_bytes(b"v" * 1000)
    with pytest.raises(BadRequest):
        client.classify(path, on_progress=change(5000))
    assert flaky_server.exchanges[-1].body == b"v" * 1000


def test_a_large_file_is_never_whole_in_memory(connect: Connect, flaky: Flaky, tmp_path: Path) -> None:
    size = 32 << 20
    big = tmp_path / "big.mp4"
    with big.open("wb") as file:
        file.truncate(size)
    client = connect(flaky(counting(400)).url)
    sent = [0]
    tracemalloc.start()
    try:
        with pytest.raises(BadRequest):
            client.classify(big, on_progress=lambda done, _: sent.append(done))
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sent[-1] == size
    assert peak_bytes < size / 16
