"""The engine for Triton over a connection that does as it is told; tests/triton_engine has the real one."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio

from laps_server import shared_memory as memory_module
from laps_server.arrays import UInt8Array
from laps_server.engines.base import InferResult
from laps_server.engines.choices import SharedMemoryMode
from laps_server.engines.triton import engine as engine_module
from laps_server.engines.triton import shared_clips
from laps_server.engines.triton.contract import ServedGraph, Tensor
from laps_server.engines.triton.engine import TritonEngine
from laps_server.engines.triton.wire import InferRequest, Refused, Region
from laps_server.errors import (
    BackendMismatch,
    BackendTimeout,
    BackendUnavailable,
    DeadlineExceeded,
    InternalError,
    LapsError,
)
from laps_server.models.repository import read_model
from laps_server.shared_memory import SharedBlock
from support.model_repositories import write_model

GRAPH = ServedGraph(
    inputs=(Tensor("clips", "UINT8", (-1, 4, 32, 32, 3)),),
    outputs=(Tensor("frame_logits", "FP32", (-1, 4, 4)),),
    max_batch_size=16,
)
ONE = np.zeros((1, 4, 32, 32, 3), np.uint8)


class FakeWire:
    """Serves GRAPH; ``failures`` are raised by the next requests, ``down`` by everything."""

    def __init__(self) -> None:
        self.failures: list[Exception] = []
        self.down: LapsError | None = None
        self.served = GRAPH
        self.shares_memory = True
        self.open: set[str] = set()
        self.requests: list[tuple[InferRequest, Region | None]] = []
        self.in_use = 0
        self.close_fails: LapsError | None = None
        self.regions_api: Exception | None = None
        self.ready = True
        self.renewed = 0
        self.closed = False

    def _check(self) -> None:
        if self.down is not None:
            raise self.down

    async def server_ready(self, *, timeout_s: float) -> bool:
        self._check()
        return True

    async def model_ready(self, model: str, version: int, *, timeout_s: float) -> bool:
        self._check()
        return self.ready

    async def graph(self, model: str, version: int, *, timeout_s: float) -> ServedGraph:
        self._check()
        return self.served

    async def infer(self, request: InferRequest, clips: UInt8Array, region: Region | None) -> InferResult:
        self._check()
        self.requests.append((request, region))
        if self.failures:
            raise self.failures.pop(0)
        if region is not None and region.name not in self.open:
            raise Refused("no such region", why="unknown")
        return InferResult(np.zeros((len(clips), 4, 4), np.float32))

    async def regions(self, *, timeout_s: float) -> set[str]:
        self._check()
        if self.regions_api is not None:
            raise self.regions_api
        return set(self.open)

    async def open_region(self, name: str, size_bytes: int, *, timeout_s: float) -> None:
        self._check()
        if not self.shares_memory:
            raise Refused("unable to open it")
        self.open.add(name)

    async def close_region(self, name: str, *, timeout_s: float) -> None:
        self._check()
        if self.close_fails is not None:
            raise self.close_fails
        if self.in_use:
            self.in_use -= 1
            raise Refused("in use")
        self.open.discard(name)

    async def renew(self) -> None:
        self.renewed += 1

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
def wire() -> FakeWire:
    return FakeWire()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where shared memory is, and a second that is shorter."""
    monkeypatch.setattr(memory_module, "FOLDER", tmp_path / "shm")
    (tmp_path / "shm").mkdir()
    monkeypatch.setattr(engine_module, "_PROBE_EVERY_S", 0.05)
    monkeypatch.setattr(engine_module, "_RETRY_AFTER_S", 0.01)
    monkeypatch.setattr(shared_clips, "_CLOSE_PAUSE_S", 0.01)
    monkeypatch.setattr(shared_clips, "_CLOSE_S", 0.5)
    return tmp_path / "shm"


@pytest.fixture
def build(wire: FakeWire, tmp_path: Path) -> Callable[..., TritonEngine]:
    files = read_model(write_model(tmp_path / "models"), 1)

    def build(
        shared_memory: SharedMemoryMode = "off", timeout_s: float = 30, start_timeout_s: float = 30
    ) -> TritonEngine:
        return TritonEngine(
            files,
            url="grpc://triton:8001",
            connect=lambda _: wire,
            shared_memory=shared_memory,
            concurrency=2,
            timeout_s=timeout_s,
            start_timeout_s=start_timeout_s,
        )

    return build


@pytest_asyncio.fixture
async def engine(build: Callable[..., TritonEngine], wire: FakeWire) -> AsyncGenerator[TritonEngine, None]:
    engine = build()
    await engine.start((1,))
    wire.requests.clear()
    yield engine
    await engine.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_batch_that_reached_nobody_is_sent_once_more(engine: TritonEngine, wire: FakeWire) -> None:
    wire.failures = [BackendUnavailable("gone")]
    assert (await engine.infer(ONE)).logits.shape == (1, 4, 4)
    wire.failures = [BackendUnavailable("gone"), BackendUnavailable("gone again")]
    with pytest.raises(BackendUnavailable, match="gone again"):
        await engine.infer(ONE)
    assert len(wire.requests) == 4


async def test_no_retry_after_the_deadline(engine: TritonEngine, wire: FakeWire) -> None:
    wire.failures = [BackendUnavailable("gone")]
    with pytest.raises(BackendUnavailable):
        await engine.infer(ONE, deadline=time.monotonic() + 0.009)
    with pytest.raises(DeadlineExceeded):
        await engine.infer(ONE, deadline=time.monotonic() - 1)
    assert len(wire.requests) == 1


async def test_what_triton_failed_on_is_not_sent_again(engine: TritonEngine, wire: FakeWire) -> None:
    wire.failures = [Refused("out of memory")]
    with pytest.raises(InternalError, match="failed on a batch") as caught:
        await engine.infer(ONE)
    assert len(wire.requests) == 1
    assert "memory" not in caught.value.message, "Triton's words may hold its paths"
    assert "memory" in str(caught.value.__cause__)


async def test_the_earlier_of_deadline_and_limit_goes_with_the_batch(
    build: Callable[..., TritonEngine], wire: FakeWire
) -> None:
    engine = build(timeout_s=5)
    await engine.start((1,))
    wire.requests.clear()
    await engine.infer(ONE)
    await engine.infer(ONE, deadline=time.monotonic() + 2)
    await engine.infer(ONE, deadline=time.monotonic() + 60)
    assert [round(request.timeout_s) for request, _ in wire.requests] == [5, 2, 5]
    await engine.close()


def reason_of(engine: TritonEngine) -> str | None:
    """Asked anew each time; of a property, the type checker takes the first answer for all that follow."""
    return engine.unavailable_reason


async def test_silence_opens_the_breaker_and_a_clients_haste_does_not(engine: TritonEngine, wire: FakeWire) -> None:
    for _ in range(5):
        wire.failures = [BackendTimeout("nothing heard")]
        with pytest.raises(DeadlineExceeded):
            await engine.infer(ONE, deadline=time.monotonic() + 0.04)
    assert reason_of(engine) is None
    wire.down = BackendTimeout("nothing heard")
    for _ in range(3):
        with pytest.raises(BackendTimeout):
            await engine.infer(ONE)
    assert reason_of(engine) == "nothing heard"
    with pytest.raises(BackendUnavailable):
        await engine.infer(ONE)


async def test_a_model_that_hangs_opens_the_breaker_until_a_view_has_run(engine: TritonEngine, wire: FakeWire) -> None:
    def hang() -> None:
        wire.failures = [BackendTimeout("nothing heard")] * 50

    for _ in range(3):
        assert reason_of(engine) is None
        hang()
        with pytest.raises(BackendTimeout):
            await engine.infer(ONE)
        await asyncio.sleep(0.15)  # health checks that succeed
    assert reason_of(engine) == "nothing heard"
    hang()
    before = len(wire.requests)
    await until(lambda: len(wire.requests) > before + 2)
    assert reason_of(engine) == "nothing heard", "metadata alone does not close it"
    wire.failures = []
    await until(lambda: reason_of(engine) is None)


@pytest.mark.parametrize(
    ("refused", "error", "message"),
    [
        (Refused("Exceeds maximum queue size", why="full"), BackendUnavailable, "queue is full"),
        (Refused("Request timeout expired", why="expired"), BackendTimeout, "in Triton's queue"),
    ],
)
async def test_a_triton_that_is_busy_is_not_one_that_is_away(
    engine: TritonEngine, wire: FakeWire, refused: Refused, error: type[LapsError], message: str
) -> None:
    for _ in range(5):
        wire.failures = [refused, refused]
        with pytest.raises(error, match=message):
            await engine.infer(ONE, deadline=time.monotonic() + 20)
    wire.failures = []
    assert reason_of(engine) is None
    assert len((await engine.infer(ONE)).logits) == 1


async def test_what_is_no_triton_is_told_as_that(engine: TritonEngine, wire: FakeWire) -> None:
    wire.failures = []
    wire.graph = rubbish  # type: ignore[method-assign, assignment]
    await until(lambda: reason_of(engine) is not None)
    assert "none of Triton's" in str(reason_of(engine))


async def rubbish(*_: object, **__: object) -> None:
    raise Refused("its answer is none of Triton's (ValueError)")


async def test_a_defect_in_a_health_check_is_a_reason_too(engine: TritonEngine, wire: FakeWire) -> None:
    wire.served = None  # type: ignore[assignment]
    await until(lambda: reason_of(engine) is not None)


async def test_silence_to_health_checks_makes_a_new_connection(engine: TritonEngine, wire: FakeWire) -> None:
    wire.down = BackendTimeout("nothing heard")
    await until(lambda: wire.renewed > 1)
    wire.down = None
    await until(lambda: reason_of(engine) is None)


async def test_a_model_that_loads_is_waited_for_and_one_that_will_not_is_named(
    build: Callable[..., TritonEngine], wire: FakeWire
) -> None:
    wire.ready = False
    engine = build(start_timeout_s=0.1)
    with pytest.raises(BackendUnavailable, match="model 'colours' is not ready"):
        await engine.start((1,))
    await engine.close()


async def test_a_model_with_an_embedding_wants_both_outputs(wire: FakeWire, tmp_path: Path) -> None:
    files = read_model(write_model(tmp_path / "models", "vectors", embedding=True), 1)
    engine = TritonEngine(
        files,
        url="grpc://triton:8001",
        connect=lambda _: wire,
        shared_memory="off",
        concurrency=1,
        timeout_s=5,
        start_timeout_s=5,
    )
    with pytest.raises(BackendMismatch, match=r"and not 'frame_logits' FP32 .*, 'embedding' FP32 \[-1, 3\]"):
        await engine.start((1,))
    both = (Tensor("embedding", "FP32", (-1, 3)), *GRAPH.outputs)  # in whatever order
    wire.served = ServedGraph(GRAPH.inputs, both, GRAPH.max_batch_size)
    await engine.start((1,))
    assert {request.outputs for request, _ in wire.requests} == {("frame_logits", "embedding")}
    await engine.close()


async def test_an_output_that_the_manifest_does_not_name_is_told(
    build: Callable[..., TritonEngine], wire: FakeWire
) -> None:
    wire.served = ServedGraph(GRAPH.inputs, (*GRAPH.outputs, Tensor("embedding", "FP32", (-1, 3))), 16)
    engine = build()
    with pytest.raises(BackendMismatch, match="its output is"):
        await engine.start((1,))
    await engine.close()


async def test_readiness_follows_without_a_batch_and_comes_back(engine: TritonEngine, wire: FakeWire) -> None:
    wire.down = BackendUnavailable("refused")
    await until(lambda: engine.unavailable_reason == "refused")
    assert wire.requests == []
    wire.down = None
    await until(lambda: engine.unavailable_reason is None)
    assert len((await engine.infer(ONE)).logits) == 1


async def test_another_model_after_a_restart_gets_no_batch(engine: TritonEngine, wire: FakeWire) -> None:
    wire.served = ServedGraph(GRAPH.inputs, (Tensor("frame_logits", "FP32", (-1, 4, 3)),), 16)
    await until(lambda: engine.unavailable_reason is not None)
    with pytest.raises(BackendUnavailable, match="3 logits for 4 labels"):
        await engine.infer(ONE)
    wire.served = GRAPH
    await until(lambda: engine.unavailable_reason is None)


async def test_a_start_that_gives_up_says_what_for(build: Callable[..., TritonEngine], wire: FakeWire) -> None:
    engine = build(start_timeout_s=0.1)
    wire.down = BackendUnavailable("Triton cannot be reached")
    with pytest.raises(BackendUnavailable, match=r"cannot be reached, for 0\.1 s"):
        await engine.start((1,))
    await engine.close()
    assert wire.closed


async def test_memory_that_triton_forgot_is_opened_again_within_the_request(
    build: Callable[..., TritonEngine], wire: FakeWire, folder: Path
) -> None:
    engine = build("on")
    await engine.start((1, 2))
    (block,) = folder.iterdir()
    assert block.stat().st_size == 2 * 2 * ONE.size, "two batches in flight, of the largest size"
    wire.open.clear()
    assert len((await engine.infer(ONE)).logits) == 1
    assert wire.open == {block.name}
    wire.in_use = 2  # a batch that still reads it
    await engine.close()
    assert (wire.open, list(folder.iterdir())) == (set(), [])


async def test_batches_in_flight_have_places_of_their_own(build: Callable[..., TritonEngine], wire: FakeWire) -> None:
    engine = build("on")
    await engine.start((1,))
    wire.requests.clear()
    gate = asyncio.Event()
    infer, held_back = wire.infer, []

    async def held(request: InferRequest, clips: UInt8Array, region: Region | None) -> InferResult:
        held_back.append(request)
        await gate.wait()
        return await infer(request, clips, region)

    wire.infer = held  # type: ignore[method-assign]
    batches = [asyncio.create_task(engine.infer(ONE)) for _ in range(2)]
    await until(lambda: len(held_back) == 2)
    gate.set()
    await asyncio.gather(*batches)
    offsets = {region.offset for _, region in wire.requests if region is not None}
    assert offsets == {0, ONE.size}
    await engine.close()


async def test_a_place_is_free_only_when_a_cancelled_batchs_clips_are_written(
    build: Callable[..., TritonEngine], wire: FakeWire, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = build("on")
    await engine.start((1,))
    (block,) = folder.iterdir()
    writing, go_on, write = threading.Event(), threading.Event(), SharedBlock.write

    def held(self: SharedBlock, offset: int, data: UInt8Array) -> None:
        writing.set()
        go_on.wait(10)
        write(self, offset, data)

    monkeypatch.setattr(SharedBlock, "write", held)
    given_up = asyncio.create_task(engine.infer(ONE + 1))
    await asyncio.to_thread(writing.wait)
    given_up.cancel()
    await asyncio.sleep(0.05)
    assert not given_up.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    monkeypatch.undo()
    await engine.infer(ONE + 2)
    _, region = wire.requests[-1]
    assert region is not None
    assert block.read_bytes()[region.offset] == 2
    await engine.close()


async def test_a_resent_batch_has_the_time_that_is_left(build: Callable[..., TritonEngine], wire: FakeWire) -> None:
    engine = build("on", timeout_s=5)
    await engine.start((1,))
    wire.requests.clear()
    infer = wire.infer

    async def slow(request: InferRequest, clips: UInt8Array, region: Region | None) -> InferResult:
        await asyncio.sleep(0.3)
        return await infer(request, clips, region)

    wire.infer = slow  # type: ignore[method-assign]
    wire.failures = [Refused("no such region", why="unknown")]
    await engine.infer(ONE)
    first, second = (request.timeout_s for request, _ in wire.requests)
    assert second < first - 0.25
    await engine.close()


async def test_required_memory_that_is_lost_is_a_backend_that_is_away(
    build: Callable[..., TritonEngine], wire: FakeWire
) -> None:
    engine = build("on")
    await engine.start((1,))
    wire.open.clear()
    wire.shares_memory = False
    with pytest.raises(BackendUnavailable, match="cannot open shared memory"):
        await engine.infer(ONE)
    assert "cannot open shared memory" in str(reason_of(engine))
    wire.shares_memory = True
    await until(lambda: reason_of(engine) is None)
    await engine.close()


@pytest.mark.parametrize("said", [Refused("This API is restricted"), BackendUnavailable("Triton cannot be reached")])
async def test_where_the_api_of_shared_memory_is_not_allowed_auto_goes_over_the_wire(
    build: Callable[..., TritonEngine], wire: FakeWire, folder: Path, said: Exception
) -> None:
    wire.regions_api = said
    engine = build("auto")
    await engine.start((1,))
    assert [region for _, region in wire.requests] == [None]
    assert list(folder.iterdir()) == []
    await engine.close()


async def test_what_a_dead_gateway_left_is_freed_before_memory_is_asked_for(
    build: Callable[..., TritonEngine], wire: FakeWire, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = SharedBlock(64)
    dead.close(keep_file=True)
    wire.open = {dead.name}
    reserve = os.posix_fallocate

    def full(descriptor: int, offset: int, size: int) -> None:
        if dead.name in wire.open:
            raise OSError(28, "No space left on device")
        reserve(descriptor, offset, size)

    monkeypatch.setattr("os.posix_fallocate", full)
    wire.served = ServedGraph(GRAPH.inputs, (), 16)
    failing = build("on")
    with pytest.raises(BackendMismatch, match="its output is missing"):
        await failing.start((1,))
    await failing.close()
    assert [path.name for path in folder.iterdir()] == [dead.name], "a start that fails forgets nothing"
    wire.served = GRAPH
    engine = build("on")
    await engine.start((1,))
    (own,) = folder.iterdir()
    assert own.name != dead.name
    assert wire.open == {own.name}
    await engine.close()


@pytest.mark.parametrize("trouble", ["in use", "out of reach"])
async def test_what_triton_still_reads_when_a_gateway_starts_is_gone_later(
    build: Callable[..., TritonEngine], wire: FakeWire, folder: Path, trouble: str
) -> None:
    dead = SharedBlock(64)
    dead.close(keep_file=True)
    wire.open = {dead.name}
    if trouble == "in use":
        wire.in_use = 10_000
    else:
        wire.close_fails = BackendUnavailable("a connection lost")
    engine = build("on")
    await engine.start((1,))
    assert dead.name in wire.open
    assert (folder / dead.name).exists(), "without it nobody would know what to close"
    assert engine.unavailable_reason is None
    wire.in_use, wire.close_fails = 0, None
    async with asyncio.timeout(10):
        while dead.name in wire.open or (folder / dead.name).exists():
            await asyncio.sleep(0.01)
    await engine.close()
    assert (wire.open, list(folder.iterdir())) == (set(), [])


async def test_what_a_gateway_leaves_that_dies_later_is_swept_by_those_that_live(
    build: Callable[..., TritonEngine], wire: FakeWire, folder: Path
) -> None:
    engine = build("on")
    await engine.start((1,))
    other = SharedBlock(64)
    wire.open.add(other.name)
    await asyncio.sleep(0.2)
    assert other.name in wire.open, "it lives"
    other.close(keep_file=True)
    async with asyncio.timeout(10):
        while other.name in wire.open or (folder / other.name).exists():
            await asyncio.sleep(0.01)
    await engine.close()


async def test_what_triton_was_too_slow_to_close_is_left_for_the_next_start(
    build: Callable[..., TritonEngine], wire: FakeWire, folder: Path
) -> None:
    engine = build("on")
    await engine.start((1,))
    (left,) = folder.iterdir()
    wire.in_use = 10_000
    await engine.close()
    assert list(folder.iterdir()) == [left]
    assert wire.open == {left.name}
    wire.in_use = 0
    following = build("on")
    await following.start((1,))
    assert left not in list(folder.iterdir())
    assert left.name not in wire.open
    await following.close()
    assert (wire.open, list(folder.iterdir())) == (set(), [])


async def test_where_memory_is_not_shared_auto_goes_over_the_wire_and_on_refuses(
    build: Callable[..., TritonEngine], wire: FakeWire, folder: Path
) -> None:
    wire.shares_memory = False
    engine = build("auto")
    await engine.start((1,))
    assert [region for _, region in wire.requests] == [None]
    assert list(folder.iterdir()) == []
    await engine.close()
    insisting = build("on")
    with pytest.raises(BackendMismatch, match="cannot open shared memory"):
        await insisting.start((1,))
    await insisting.close()
    assert list(folder.iterdir()) == []


async def test_a_close_does_not_wait_for_a_triton_that_is_gone(
    build: Callable[..., TritonEngine], wire: FakeWire, folder: Path
) -> None:
    engine = build("on")
    await engine.start((1,))
    wire.down = BackendUnavailable("gone")
    await asyncio.wait_for(engine.close(), 5)
    assert list(folder.iterdir()) == []
    assert wire.closed
