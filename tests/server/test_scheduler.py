from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable

import numpy as np
import pytest
import pytest_asyncio

from laps_server.clips import Float32Array, UInt8Array
from laps_server.engines.fake import FakeEngine
from laps_server.errors import InternalError, Overloaded, ShuttingDown
from laps_server.scheduler import Scheduler, ViewResult

CLIP = (2, 4, 4, 3)


class Views:
    """Views of one plain value each; the value tells them apart in a batch."""

    def __init__(self, *values: int) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def write(self, view: int, out: UInt8Array) -> None:
        out[...] = self.values[view]


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine(clip_shape=CLIP, classes=3)


@pytest_asyncio.fixture
async def scheduler(engine: FakeEngine) -> AsyncGenerator[Scheduler, None]:
    scheduler = Scheduler(engine, batch_sizes=(1, 2, 4), max_queued_views=32)
    await scheduler.start()
    yield scheduler
    await scheduler.close()


async def collect(scheduler: Scheduler, views: Views) -> dict[int, Float32Array]:
    results: list[ViewResult] = [result async for result in scheduler.submit(views).results()]
    return {result.view: result.logits for result in results}


def values(batch: UInt8Array) -> list[int]:
    return [int(clip.flat[0]) for clip in batch]


async def held(engine: FakeEngine, scheduler: Scheduler) -> asyncio.Task[dict[int, Float32Array]]:
    """Occupy the engine with a view of value 0, so that what is submitted next waits together."""
    engine.gate.clear()
    engine.running.clear()
    task = asyncio.create_task(collect(scheduler, Views(0)))
    await engine.running.wait()
    return task


async def test_views_of_two_requests_share_a_call_in_turn(engine: FakeEngine, scheduler: Scheduler) -> None:
    first = await held(engine, scheduler)
    a = asyncio.create_task(collect(scheduler, Views(10, 11, 12)))
    b = asyncio.create_task(collect(scheduler, Views(20)))
    await asyncio.sleep(0)
    engine.gate.set()
    await asyncio.gather(first, a, b)
    assert [values(batch) for batch in engine.batches] == [[0], [10, 20, 11, 12]]


async def test_answers_do_not_depend_on_what_shares_the_call(engine: FakeEngine, scheduler: Scheduler) -> None:
    alone = [await collect(scheduler, Views(10, 200)), await collect(scheduler, Views(90))]
    first = await held(engine, scheduler)
    together = [asyncio.create_task(collect(scheduler, views)) for views in (Views(10, 200), Views(90))]
    await asyncio.sleep(0)
    engine.gate.set()
    await first
    for single, task in zip(alone, together, strict=True):
        shared = await task
        assert shared.keys() == single.keys()
        for view, logits in single.items():
            np.testing.assert_array_equal(shared[view], logits)
    assert any({10, 90} <= set(values(batch)) for batch in engine.batches), "no call held views of both"


async def test_batch_sizes_come_from_the_fixed_set(engine: FakeEngine, scheduler: Scheduler) -> None:
    await collect(scheduler, Views(*range(7)))
    assert [len(batch) for batch in engine.batches] == [4, 2, 1]


async def test_a_failed_call_fails_its_own_requests_and_no_other(engine: FakeEngine, scheduler: Scheduler) -> None:
    engine.failure = RuntimeError("device lost")
    with pytest.raises(InternalError):
        await collect(scheduler, Views(1, 2))
    engine.failure = None
    assert len(await collect(scheduler, Views(3))) == 1


async def test_non_finite_logits_are_an_error_not_an_answer(
    engine: FakeEngine, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def infer(clips: UInt8Array, *, deadline: float | None = None) -> Float32Array:
        return np.full((len(clips), *engine.info.output_shape), np.nan, np.float32)

    monkeypatch.setattr(engine, "infer", infer)
    with pytest.raises(InternalError):
        await collect(scheduler, Views(1))


class BrokenViews(Views):
    def write(self, view: int, out: UInt8Array) -> None:
        raise OSError(f"the pixels of view {view} are gone, {out.shape} were asked for")


async def test_a_source_that_fails_does_not_fail_its_neighbours(engine: FakeEngine, scheduler: Scheduler) -> None:
    first = await held(engine, scheduler)
    bad = asyncio.create_task(collect(scheduler, BrokenViews(1, 2)))
    good = asyncio.create_task(collect(scheduler, Views(20, 21)))
    await asyncio.sleep(0)
    engine.gate.set()
    await first
    assert sorted(await good) == [0, 1]
    with pytest.raises(InternalError):
        await bad


async def test_non_finite_logits_of_one_view_fail_its_own_request_alone(
    engine: FakeEngine, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await held(engine, scheduler)

    async def infer(clips: UInt8Array, *, deadline: float | None = None) -> Float32Array:
        logits = np.zeros((len(clips), *engine.info.output_shape), np.float32)
        logits[[clip.flat[0] == 66 for clip in clips]] = np.inf
        return logits

    monkeypatch.setattr(engine, "infer", infer)
    bad = asyncio.create_task(collect(scheduler, Views(66)))
    good = asyncio.create_task(collect(scheduler, Views(20, 21)))
    await asyncio.sleep(0)
    engine.gate.set()
    await first
    assert sorted(await good) == [0, 1]
    with pytest.raises(InternalError):
        await bad


async def test_a_cancelled_engine_ends_every_request_and_lets_nobody_in(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = Scheduler(engine, batch_sizes=(1,), max_queued_views=32)
    await scheduler.start()

    async def infer(clips: UInt8Array, *, deadline: float | None = None) -> Float32Array:
        raise asyncio.CancelledError

    monkeypatch.setattr(engine, "infer", infer)
    requests = [asyncio.create_task(collect(scheduler, Views(value))) for value in (1, 2)]
    for request in requests:
        with pytest.raises(ShuttingDown):
            await asyncio.wait_for(request, 5)
    with pytest.raises(ShuttingDown):
        scheduler.submit(Views(3))


async def test_a_cancelled_request_leaves_the_line(engine: FakeEngine, scheduler: Scheduler) -> None:
    first = await held(engine, scheduler)
    gone = asyncio.create_task(collect(scheduler, Views(*range(50, 60))))
    await asyncio.sleep(0)
    assert scheduler.queued_views == 10
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    assert scheduler.queued_views == 0
    engine.gate.set()
    await first
    await collect(scheduler, Views(1))
    assert [values(batch) for batch in engine.batches] == [[0], [1]]


async def test_a_full_line_refuses_instead_of_growing(engine: FakeEngine, scheduler: Scheduler) -> None:
    first = await held(engine, scheduler)
    waiting = asyncio.create_task(collect(scheduler, Views(*range(30))))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        scheduler.submit(Views(1, 2, 3))
    assert scheduler.submit(Views(1, 2)).waiting == 2
    engine.gate.set()
    await asyncio.gather(first, waiting)


async def test_closing_ends_every_request(engine: FakeEngine) -> None:
    scheduler = Scheduler(engine, batch_sizes=(1,), max_queued_views=32)
    await scheduler.start()
    first = await held(engine, scheduler)
    waiting = asyncio.create_task(collect(scheduler, Views(1, 2)))
    await asyncio.sleep(0)
    closing = asyncio.create_task(scheduler.close())
    await asyncio.sleep(0)
    engine.gate.set()
    await closing
    assert len(await first) == 1
    with pytest.raises(ShuttingDown):
        await waiting
    with pytest.raises(ShuttingDown):
        scheduler.submit(Views(1))


@pytest.fixture
def remote() -> FakeEngine:
    return FakeEngine(clip_shape=CLIP, classes=3, calls_at_once=2, cancellable=True)


@pytest_asyncio.fixture
async def ahead(remote: FakeEngine) -> AsyncGenerator[Scheduler, None]:
    scheduler = Scheduler(remote, batch_sizes=(1, 2, 4), max_queued_views=32)
    await scheduler.start()
    yield scheduler
    await scheduler.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


async def test_an_engine_gets_as_many_calls_at_once_as_it_takes(remote: FakeEngine, ahead: Scheduler) -> None:
    remote.gate.clear()
    request = asyncio.create_task(collect(ahead, Views(*range(7))))
    await until(lambda: len(remote.batches) == 2)
    await asyncio.sleep(0.05)
    assert sorted(map(values, remote.batches)) == [[0, 1, 2, 3], [4, 5]]
    remote.gate.set()
    assert sorted(await request) == list(range(7))


async def test_a_call_is_taken_back_when_all_of_its_requests_are_gone(remote: FakeEngine, ahead: Scheduler) -> None:
    remote.gate.clear()
    gone = asyncio.create_task(collect(ahead, Views(*range(10, 15))))
    await until(lambda: len(remote.batches) == 2)
    assert sorted(map(values, remote.batches)) == [[10, 11, 12, 13], [14]]
    stays = asyncio.create_task(collect(ahead, Views(20)))
    gone.cancel()
    await until(lambda: remote.cancelled == 2)
    remote.gate.set()
    assert len(await stays) == 1
    assert remote.cancelled == 2


async def test_a_call_that_somebody_wants_goes_on(remote: FakeEngine, ahead: Scheduler) -> None:
    remote.gate.clear()
    gone = asyncio.create_task(collect(ahead, Views(10)))
    stays = asyncio.create_task(collect(ahead, Views(20)))
    await until(lambda: len(remote.batches) == 1)
    assert [values(batch) for batch in remote.batches] == [[10, 20]]
    gone.cancel()
    await asyncio.sleep(0.05)
    remote.gate.set()
    assert len(await stays) == 1
    assert remote.cancelled == 0


async def test_closing_takes_calls_back(remote: FakeEngine) -> None:
    scheduler = Scheduler(remote, batch_sizes=(1,), max_queued_views=32)
    await scheduler.start()
    remote.gate.clear()
    request = asyncio.create_task(collect(scheduler, Views(1, 2)))
    await until(lambda: len(remote.batches) == 2)
    await asyncio.wait_for(scheduler.close(), 5)
    with pytest.raises(ShuttingDown):
        await request


async def test_an_engine_is_told_how_long_somebody_wants_the_result(engine: FakeEngine, scheduler: Scheduler) -> None:
    async def run(views: Views, deadline: float | None) -> None:
        async for _ in scheduler.submit(views, deadline=deadline).results():
            pass

    for deadlines, told in (((100.0, 200.0), 200.0), ((100.0, None), None)):
        first = await held(engine, scheduler)
        calls = [asyncio.create_task(run(Views(value), deadline)) for value, deadline in enumerate(deadlines, 1)]
        await asyncio.sleep(0)
        engine.gate.set()
        await asyncio.gather(first, *calls)
        assert engine.deadlines[-1] == told
