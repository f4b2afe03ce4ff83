"""Both clients against a real server process."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from client.conftest import MAX_UPLOAD_BYTES, AnyClient, Connect
from laps_client import (
    AsyncLapsClient,
    BadRequest,
    BadVideo,
    Classification,
    LapsClient,
    LapsError,
    NotFound,
    Readiness,
    RetryPolicy,
    TooLarge,
)
from laps_client._parsing import from_json
from support.live_servers import ServerProcess


@pytest.fixture
def client(connect: Connect, server: ServerProcess) -> AnyClient:
    return connect(server.url)


def with_offset(data: bytes) -> io.BytesIO:
    file = io.BytesIO(b"skipped" + data)
    file.seek(len(b"skipped"))
    return file


def pieces(data: bytes, size: int = 1000) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


class Unseekable(io.RawIOBase):
    """As a socket's file: it can only be read on."""

    def __init__(self, data: bytes) -> None:
        self._left = io.BytesIO(data)

    def read(self, size: int = -1, /) -> bytes:
        return self._left.read(size)


SOURCES: dict[str, Callable[[Path], Any]] = {
    "path": lambda path: path,
    "path as str": str,
    "bytes": lambda path: path.read_bytes(),
    "bytearray": lambda path: bytearray(path.read_bytes()),
    "memoryview": lambda path: memoryview(path.read_bytes()),
    "file": lambda path: io.BytesIO(path.read_bytes()),
    "file from where it stands": lambda path: with_offset(path.read_bytes()),
    "file that cannot seek": lambda path: Unseekable(path.read_bytes()),
    "list": lambda path: pieces(path.read_bytes()),
    "generator": lambda path: (piece for piece in pieces(path.read_bytes())),
    "generator with empty pieces": lambda path: (piece for part in pieces(path.read_bytes()) for piece in (b"", part)),
}


@pytest.mark.parametrize("make", SOURCES.values(), ids=SOURCES.keys())
def test_every_kind_of_source_sends_the_same_video(client: AnyClient, clip: Path, make: Callable[[Path], Any]) -> None:
    result = client.classify(make(clip))
    assert result.predictions == client.classify(clip).predictions
    assert (result.top.label, result.video.frame_count) == ("red", 20)


async def test_an_async_iterable_sends_the_same_video(server: ServerProcess, clip: Path) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for piece in pieces(clip.read_bytes()):
            yield piece
            await asyncio.sleep(0)

    async with AsyncLapsClient(server.url) as client:
        result = await client.classify(parts())
        assert result.predictions == (await client.classify(clip)).predictions


def test_a_pipe_is_sent_to_its_end(client: AnyClient, clip: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(clip.read_bytes()))
    writer.start()
    calls: list[tuple[int, int | None]] = []
    assert client.classify(pipe, on_progress=lambda sent, size: calls.append((sent, size))).top.label == "red"
    writer.join()
    assert calls[-1] == (clip.stat().st_size, None)


@pytest.mark.parametrize(
    ("video", "said"),
    [
        (3, "not int"),
        (None, "not NoneType"),
        (io.StringIO("text"), "mode 'rb'"),
        (["text"], "gave str"),
        ((c for c in "text"), "gave str"),
    ],
    ids=["number", "none", "text file", "list of str", "generator of str"],
)
def test_what_is_no_video_is_a_type_error(client: AnyClient, video: Any, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        client.classify(video)


def test_an_async_iterable_is_refused_by_the_blocking_client(server: ServerProcess) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b""

    with LapsClient(server.url) as client, pytest.raises(TypeError, match="AsyncLapsClient"):
        client.classify(parts())  # type: ignore[arg-type]


def test_a_missing_file_is_pythons_own_error(client: AnyClient, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        client.classify(tmp_path / "missing.mp4")
    with pytest.raises(IsADirectoryError):
        client.classify(tmp_path)


def test_the_result_says_what_the_servers_json_says(server: ServerProcess, clip: Path) -> None:
    query: dict[str, str | int] = {"view_details": "true", "thumbnails": "true", "top_k": 4}
    body = httpx.post(f"{server.url}/classify", params=query, content=clip.read_bytes()).json()
    result = from_json(Classification, body)
    asked_for = {key: value for key, value in result.to_dict().items() if key in body}
    assert asked_for == json.loads(json.dumps(asked_for)) == body | {"explain": body["view_details"]}
    assert len(body["view_details"]) == result.views.used
    assert (result.segments, result.timeline) == (None, None)
    assert result.thumbnails is not None
    assert result.thumbnails[0].jpeg.startswith(b"\xff\xd8")
    assert result.top.score == max(item["score"] for item in body["predictions"])


def test_scores_over_time_follow_the_video(client: AnyClient, clip: Path) -> None:
    frames = client.classify(clip).frames
    assert frames is not None
    red, blue = frames.curve("red"), frames.curve("blue")
    assert (red[0], red[-1]) == pytest.approx((1, 0), abs=0.1)
    assert (blue[0], blue[-1]) == pytest.approx((0, 1), abs=0.1)
    assert len(red) == len(frames.time_s)
    with pytest.raises(ValueError, match="there are red"):
        frames.curve("violet")


def test_options_reach_the_server(client: AnyClient, clip: Path) -> None:
    shown: dict[str, Any] = {"frames": False, "thumbnails": True, "view_details": True}
    result = client.classify(clip, model="untrained", version=1, views="1x1", top_k=2, **shown)
    assert (result.model.name, result.model.version) == ("untrained", 1)
    assert (result.views.temporal, result.views.spatial, result.views.used) == (1, 1, 1)
    assert len(result.predictions) == 2
    assert result.frames is None
    assert result.thumbnails
    assert result.view_details is not None
    assert [frame.index for frame in result.view_details[0].frames] == [0, 2, 4, 7]
    assert any("untrained" in warning for warning in result.warnings)
    plain = client.classify(clip)
    assert (plain.model.name, plain.thumbnails, plain.view_details) == ("colours", None, None)
    assert plain.frames is not None


def test_the_old_name_of_view_details_works_with_a_warning(client: AnyClient, clip: Path) -> None:
    with pytest.warns(DeprecationWarning, match="explain= is now view_details="):
        result = client.classify(clip, views="1x1", explain=True)
    assert result.view_details is not None
    assert [frame.index for frame in result.view_details[0].frames] == [0, 2, 4, 7]
    with pytest.warns(DeprecationWarning, match="explain is now view_details"):
        assert result.explain == result.view_details
    document = result.to_dict()
    assert document["explain"] == document["view_details"]
    assert document["explain"][0]["frames"][0]["index"] == 0


@pytest.mark.parametrize(
    ("options", "kind", "status", "code", "hint"),
    [
        ({"model": "missing"}, NotFound, 404, "model_not_found", "colours"),
        ({"version": 9}, NotFound, 404, "version_not_found", "1"),
        ({"views": "5"}, BadRequest, 422, "bad_parameter", "5x3"),
        ({"top_k": 99}, BadRequest, 422, "bad_parameter", "1 to 4"),
        ({"deadline_s": 1e6}, BadRequest, 422, "bad_parameter", "at most"),
    ],
    ids=["model", "version", "views", "top_k", "deadline"],
)
def test_a_refusal_is_typed_and_says_what_is_right(
    client: AnyClient, clip: Path, options: dict[str, Any], kind: type[LapsError], status: int, code: str, hint: str
) -> None:
    with pytest.raises(LapsError) as caught:
        client.classify(clip, request_id="refused-1", **options)
    error = caught.value
    assert type(error) is kind
    assert (error.status, error.code, error.request_id) == (status, code, "refused-1")
    assert hint in (error.hint or "")
    assert all(part in str(error) for part in (error.message, error.hint or "", code, str(status), "refused-1"))


@pytest.mark.parametrize("content", [b"plain text, no video " * 50, b""], ids=["text", "nothing"])
def test_what_cannot_be_decoded_is_a_bad_video(client: AnyClient, content: bytes) -> None:
    with pytest.raises(BadVideo) as caught:
        client.classify(content)
    assert caught.value.code == "unsupported_container"


@pytest.mark.parametrize("known", [True, False], ids=["known size", "unknown size"])
def test_an_upload_over_the_limit_is_told_not_a_broken_pipe(
    connect: Connect, server: ServerProcess, known: bool
) -> None:
    client = connect(server.url, retries=RetryPolicy(attempts=1))
    for _ in range(5):
        parts = [b"\0" * 1_000_000] * 30
        with pytest.raises(TooLarge) as caught:
            client.classify(parts if known else iter(parts))
        assert str(MAX_UPLOAD_BYTES) in caught.value.message


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_a_deadline_that_is_no_time_is_refused_before_anything_is_sent(
    client: AnyClient, clip: Path, server: ServerProcess, value: float
) -> None:
    lines = len(server.log)
    with pytest.raises(ValueError, match="deadline_s"):
        client.classify(clip, deadline_s=value)
    assert not [line for line in server.log[lines:] if "/classify" in line]


def test_a_request_id_finds_the_call_in_the_servers_log(client: AnyClient, clip: Path, server: ServerProcess) -> None:
    name = f"trace.{type(client).__name__}"
    assert client.classify(clip, request_id=name).request_id == name
    server.wait_for(re.compile(re.escape(name)), 5)
    made_up = client.classify(clip).request_id
    server.wait_for(re.compile(made_up), 5)


@pytest.mark.parametrize("value", ["", "a b", "ü", "x\r\ny: z", "x" * 129])
def test_a_request_id_that_the_server_would_replace_is_refused(client: AnyClient, clip: Path, value: str) -> None:
    with pytest.raises(ValueError, match="request_id"):
        client.classify(clip, request_id=value)


def test_progress_counts_to_the_size(client: AnyClient) -> None:
    calls: list[tuple[int, int | None]] = []
    with pytest.raises(BadVideo):
        client.classify(b"x" * 390_000, on_progress=lambda sent, size: calls.append((sent, size)))
    assert calls[0] == (0, 390_000)
    assert calls[-1] == (390_000, 390_000)
    assert [sent for sent, _ in calls] == sorted({sent for sent, _ in calls}), "strictly rising"
    assert len(calls) >= 3


def test_progress_of_an_unknown_size_has_none(client: AnyClient, clip: Path) -> None:
    calls: list[tuple[int, int | None]] = []
    parts = pieces(clip.read_bytes())
    client.classify(iter(parts), on_progress=lambda sent, size: calls.append((sent, size)))
    assert [sent for sent, _ in calls] == [sum(map(len, parts[:count])) for count in range(len(parts) + 1)]
    assert {size for _, size in calls} == {None}


def test_progress_is_told_on_the_callers_thread(client: AnyClient, clip: Path) -> None:
    threads = set()
    client.classify(clip, on_progress=lambda *_: threads.add(threading.current_thread()))
    assert threads == {threading.current_thread()}


def test_models_and_limits(client: AnyClient) -> None:
    models = client.models()
    assert [(model.name, model.default, model.untrained) for model in models] == [
        ("colours", True, False),
        ("untrained", False, True),
    ]
    assert len(models) == 2
    assert models.limits.max_upload_bytes == MAX_UPLOAD_BYTES
    assert models.to_dict()["models"][0]["versions"] == [1]


def test_one_model_in_full(client: AnyClient, server: ServerProcess) -> None:
    model = client.model("colours")
    assert model.label_names == ("red", "green", "blue", "dark")
    assert (model.version, model.input.frames, model.metrics) == (1, 4, {"top1": 1.0})
    assert model.to_dict() == httpx.get(f"{server.url}/models/colours").json()
    assert client.model("colours", version=1) == model
    with pytest.raises(NotFound) as caught:
        client.model("colours", version=7)
    assert caught.value.code == "version_not_found"


@pytest.mark.parametrize("name", ["missing", "../readyz", "a/b", "a?b=c", "ü ñ"])
def test_an_unknown_model_is_not_found_whatever_its_name(client: AnyClient, name: str) -> None:
    with pytest.raises(NotFound):
        client.model(name)


def test_ready_is_true_of_a_ready_server(client: AnyClient) -> None:
    assert client.ready() == Readiness(ready=True, reason=None)
    assert client.ready()


def test_a_path_prefix_and_a_slash_in_the_address_are_kept(connect: Connect, server: ServerProcess) -> None:
    assert connect(f"{server.url}/").ready()
    with pytest.raises(NotFound) as caught:
        connect(f"{server.url}/prefix/").models()
    assert caught.value.code == "not_found"


def test_threads_share_a_client(server: ServerProcess, clip: Path) -> None:
    with LapsClient(server.url) as client, ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda number: client.classify(clip, request_id=f"thread-{number}"), range(16)))
    assert [result.request_id for result in results] == [f"thread-{number}" for number in range(16)]
    assert {result.predictions for result in results} == {results[0].predictions}


async def test_tasks_share_a_client(server: ServerProcess, clip: Path) -> None:
    async with AsyncLapsClient(server.url) as client:
        results = await asyncio.gather(*(client.classify(clip, request_id=f"task-{number}") for number in range(16)))
    assert [result.request_id for result in results] == [f"task-{number}" for number in range(16)]


class AsyncFile:
    """As file objects of aiofiles: every method is to be awaited, and lines could be iterated over."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    async def read(self, size: int = -1) -> bytes:
        return self._file.read(size)

    async def seek(self, place: int, whence: int = 0) -> int:
        return self._file.seek(place, whence)

    def __aiter__(self) -> AsyncIterator[bytes]:
        raise AssertionError("lines")


async def test_an_async_file_object_sends_the_same_video(server: ServerProcess, clip: Path) -> None:
    sent: list[tuple[int, int | None]] = []
    async with AsyncLapsClient(server.url) as client:
        file = AsyncFile(clip.read_bytes())
        result = await client.classify(file, on_progress=lambda *progress: sent.append(progress))
        assert result.top.label == "red"
        assert sent[-1] == (clip.stat().st_size, None)
        file = AsyncFile(clip.read_bytes())
        async for event in client.stream(file):
            last = event
        assert isinstance(last, Classification)


def test_an_async_file_object_is_refused_by_the_blocking_client(server: ServerProcess) -> None:
    with LapsClient(server.url) as client, pytest.raises(TypeError, match="needs AsyncLapsClient"):
        client.classify(AsyncFile(b""))  # type: ignore[arg-type]


def test_a_loop_ends_also_where_a_source_blocks_for_ever(server: ServerProcess, tmp_path: Path) -> None:
    """In a process of its own, which has to end too."""
    os.mkfifo(tmp_path / "pipe.mp4")
    code = f"""
import asyncio
from laps_client import AsyncLapsClient, DeadlineExceeded

async def main():
    async with AsyncLapsClient({server.url!r}) as client:
        try:
            await client.classify("pipe.mp4", deadline_s=0.5)
        except DeadlineExceeded:
            print("too late")

asyncio.run(main())
"""
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=20)
    assert (done.returncode, done.stdout, done.stderr) == (0, "too late\n", "")


async def test_what_is_no_error_in_a_source_passes_too(server: ServerProcess) -> None:
    class Leaving(BaseException):
        pass

    def parts() -> Iterator[bytes]:
        yield b"x"
        raise Leaving

    async with AsyncLapsClient(server.url) as client:
        with pytest.raises(Leaving):
            await asyncio.wait_for(client.classify(parts()), 10)


async def test_a_cancelled_call_ends_at_once_while_its_file_is_read(server: ServerProcess) -> None:
    reading, go_on = threading.Event(), threading.Event()
    closed = threading.Event()

    def parts() -> Iterator[bytes]:
        try:
            yield b"x"
            reading.set()
            go_on.wait(10)
            yield b"y"
        finally:
            closed.set()

    async with AsyncLapsClient(server.url) as client:
        source = parts()
        call = asyncio.create_task(client.classify(source))
        assert await asyncio.to_thread(reading.wait, 10)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(call, 2)
        go_on.set()
        del source
        assert (await client.models()).models, "the client serves on"
        assert await asyncio.to_thread(closed.wait, 10)


def test_a_closed_client_says_so(server: ServerProcess) -> None:
    with LapsClient(server.url) as client:
        assert client.ready()
    with pytest.raises(RuntimeError, match="closed"):
        client.ready()


async def test_a_closed_async_client_says_so(server: ServerProcess) -> None:
    async with AsyncLapsClient(server.url) as client:
        assert await client.ready()
    with pytest.raises(RuntimeError, match="closed"):
        await client.ready()


async def test_an_http_client_of_the_callers_own_is_used_and_left_open(server: ServerProcess) -> None:
    asked: list[str] = []

    async def note(request: httpx.Request) -> None:
        asked.append(request.url.path)

    with httpx.Client(event_hooks={"request": [lambda request: asked.append(request.url.path)]}) as http:
        with LapsClient(server.url, http=http) as client:
            client.models()
        assert not http.is_closed
    async with httpx.AsyncClient(event_hooks={"request": [note]}) as async_http:
        async with AsyncLapsClient(server.url, http=async_http) as async_client:
            await async_client.models()
        assert not async_http.is_closed
    assert asked == ["/models", "/models"]


def test_chosen_labels_and_an_embedding_are_asked_for(client: AnyClient, clip: Path) -> None:
    whole = {item.label: item.score for item in client.classify(clip).predictions}
    for labels in (["blue", "dark"], ("dark", "blue"), "blue,dark"):
        result = client.classify(clip, labels=labels, embedding=True)
        assert {item.label: item.score for item in result.predictions} == {
            name: whole[name] for name in ("blue", "dark")
        }
        assert result.embedding is not None
        assert len(result.embedding) == 3
    (outcome,) = client.classify_many([clip], labels=["green"], embedding=True, segments=1)
    found = outcome.unwrap()
    assert [item.label for item in found.predictions] == ["green"]
    assert found.segments is not None
    assert all(segment.embedding is not None for segment in found.segments)
    with pytest.raises(BadRequest, match="no label 'grean'") as unknown:
        client.classify(clip, labels=["grean"])
    assert (unknown.value.status, unknown.value.code) == (422, "unknown_label")
    with pytest.raises(BadRequest) as missing:
        client.classify(clip, model="untrained", embedding=True)
    assert (missing.value.status, missing.value.code) == (422, "no_embedding")


def test_a_model_tells_how_it_scores(client: AnyClient) -> None:
    model = client.model("colours")
    assert (model.output, model.steps, model.average, model.max_batch) == ("per_frame", None, "logits", None)
    assert model.embedding is not None
    assert model.embedding.size == 3
    assert client.model("untrained").embedding is None
    assert model.input.crop_order == "along"
