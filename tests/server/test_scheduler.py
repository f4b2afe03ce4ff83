from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from functools import partial

import numpy as np
import pytest
import pytest_asyncio

from laps_server.arrays import Float32Array, UInt8Array
from laps_server.engines.base import InferResult
from laps_server.engines.fake import FakeEngine
from laps_server.errors import InternalError, LapsError, Overloaded, ShuttingDown
from laps_server.observe import Batched, Queued, Ran, Stage
from laps_server.scheduler import Scheduler, Submission, View, ViewResult
from laps_server.trace_context import carry_trace, trace_headers

CLIP = (2, 4, 4, 3)


class PlainViews:
    """PlainViews of one plain value each; the value tells them apart in a batch."""

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


class FakeJob:
    """What a job is to a scheduler: puts views in the queue and reads what comes of them."""

    def __init__(
        self, scheduler: Scheduler, *, announced: int, deadline: float | None = None, urgent: bool = False
    ) -> None:
        self.inbox: asyncio.Queue[ViewResult[int] | LapsError] = asyncio.Queue()
        self.submission: Submission[int] = scheduler.submit(
            self.inbox.put_nowait, announced=announced, deadline=deadline, urgent=urgent
        )

    def add(self, views: PlainViews) -> None:
        self.submission.add(View(number, partial(views.write, number)) for number in range(len(views)))

    async def results(self, count: int) -> dict[int, Float32Array]:
        results: dict[int, Float32Array] = {}
        while len(results) < count:
            news = await self.inbox.get()
            if isinstance(news, LapsError):
                raise news
            results[news.tag] = news.logits
        return results


async def collect(
    scheduler: Scheduler, views: PlainViews, deadline: float | None = None, *, urgent: bool = False
) -> dict[int, Float32Array]:
    request = FakeJob(scheduler, announced=len(views), deadline=deadline, urgent=urgent)
    try:
        request.add(views)
        return await request.results(len(views))
    finally:
        request.submission.stop()


def values(batch: UInt8Array) -> list[int]:
    return [int(clip.flat[0]) for clip in batch]


async def held(engine: FakeEngine, scheduler: Scheduler) -> asyncio.Task[dict[int, Float32Array]]:
    """Occupy the engine with a view of value 0, so that what is submitted next waits together."""
    engine.gate.clear()
    engine.running.clear()
    task = asyncio.create_task(collect(scheduler, PlainViews(0)))
    await engine.running.wait()
    return task


async def test_views_of_two_requests_share_a_batch_in_turn(engine: FakeEngine, scheduler: Scheduler) -> None:
    first = await held(engine, scheduler)
    a = asyncio.create_task(collect(scheduler, PlainViews(10, 11, 12)))
    b = asyncio.create_task(collect(scheduler, PlainViews(20)))
    await asyncio.sleep(0)
    engine.gate.set()
    await asyncio.gather(first, a, b)
    assert [values(batch) for batch in engine.batches] == [[0], [10, 20, 11, 12]]


async def test_answers_do_not_depend_on_what_shares_the_batch(engine: FakeEngine, scheduler: Scheduler) -> None:
    alone = [await collect(scheduler, PlainViews(10, 200)), await collect(scheduler, PlainViews(90))]
    first = await held(engine, scheduler)
    together = [asyncio.create_task(collect(scheduler, views)) for views in (PlainViews(10, 200), PlainViews(90))]
    await asyncio.sleep(0)
    engine.gate.set()
    await first
    for single, task in zip(alone, together, strict=True):
        shared = await task
        assert shared.keys() == single.keys()
        for view, logits in single.items():
            np.testing.assert_array_equal(shared[view], logits)
    assert any({10, 90} <= set(values(batch)) for batch in engine.batches), "no batch held views of both"


async def test_batch_sizes_come_from_the_fixed_set(engine: FakeEngine, scheduler: Scheduler) -> None:
    await collect(scheduler, PlainViews(*range(7)))
    assert [len(batch) for batch in engine.batches] == [4, 2, 1]


async def test_a_failed_batch_fails_its_own_requests_and_no_other(engine: FakeEngine, scheduler: Scheduler) -> None:
    engine.failure = RuntimeError("device lost")
    with pytest.raises(InternalError):
        await collect(scheduler, PlainViews(1, 2))
    engine.failure = None
    assert len(await collect(scheduler, PlainViews(3))) == 1


async def test_non_finite_logits_are_an_error_not_an_answer(
    engine: FakeEngine, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def infer(clips: UInt8Array, *, deadline: float | None = None) -> InferResult:
        return InferResult(np.full((len(clips), *engine.info.output_shape), np.nan, np.float32))

    monkeypatch.setattr(engine, "infer", infer)
    with pytest.raises(InternalError):
        await collect(scheduler, PlainViews(1))


async def test_each_view_gets_its_own_embedding() -> None:
    engine = FakeEngine(clip_shape=CLIP, classes=2, embedding_size=5)
    scheduler = Scheduler(engine, batch_sizes=(1, 2, 4), max_queued_views=32)
    await scheduler.start()
    request = FakeJob(scheduler, announced=3)
    request.add(PlainViews(0, 51, 255))
    found: dict[int, list[float]] = {}
    while len(found) < 3:
        news = await request.inbox.get()
        assert isinstance(news, ViewResult)
        assert news.embedding is not None
        found[news.tag] = news.embedding.tolist()
    await scheduler.close()
    assert found == {0: [0.0] * 5, 1: pytest.approx([0.2] * 5), 2: [1.0] * 5}


@pytest.mark.parametrize("embedding", [None, (2,), np.nan], ids=["missing", "of another size", "not finite"])
async def test_an_embedding_that_is_not_as_promised_is_an_error(
    monkeypatch: pytest.MonkeyPatch, embedding: float | tuple[int] | None
) -> None:
    engine = FakeEngine(clip_shape=CLIP, classes=2, embedding_size=5)

    async def infer(clips: UInt8Array, *, deadline: float | None = None) -> InferResult:
        logits = np.zeros((len(clips), *engine.info.output_shape), np.float32)
        if embedding is None:
            return InferResult(logits)
        shape = embedding if isinstance(embedding, tuple) else (5,)
        return InferResult(logits, np.full((len(clips), *shape), np.nan, np.float32))

    monkeypatch.setattr(engine, "infer", infer)
    scheduler = Scheduler(engine, batch_sizes=(1,), max_queued_views=32)
    await scheduler.start()
    with pytest.raises(InternalError):
        await collect(scheduler, PlainViews(1))
    await scheduler.close()


class BrokenViews(PlainViews):
    def write(self, view: int, out: UInt8Array) -> None:
        raise OSError(f"the pixels of view {view} are gone, {out.shape} were asked for")


async def test_a_source_that_fails_does_not_fail_its_neighbours(engine: FakeEngine, scheduler: Scheduler) -> None:
    first = await held(engine, scheduler)
    bad = asyncio.create_task(collect(scheduler, BrokenViews(1, 2)))
    good = asyncio.create_task(collect(scheduler, PlainViews(20, 21)))
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

    async def infer(clips: UInt8Array, *, deadline: float | None = None) -> InferResult:
        logits = np.zeros((len(clips), *engine.info.output_shape), np.float32)
        logits[[clip.flat[0] == 66 for clip in clips]] = np.inf
        return InferResult(logits)

    monkeypatch.setattr(engine, "infer", infer)
    bad = asyncio.create_task(collect(scheduler, PlainViews(66)))
    good = asyncio.create_task(collect(scheduler, PlainViews(20, 21)))
    await asyncio.sleep(0)
    engine.gate.set()
    await first
    assert sorted(await good) == [0, 1]
    with pytest.raises(InternalError):
        await bad


async def test_a_cancelled_engine_ends_every_request_and_admits_none(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = Scheduler(engine, batch_sizes=(1,), max_queued_views=32)
    await scheduler.start()

    async def infer(clips: UInt8Array, *, deadline: float | None = None) -> InferResult:
        raise asyncio.CancelledError

    monkeypatch.setattr(engine, "infer", infer)
    requests = [asyncio.create_task(collect(scheduler, PlainViews(value))) for value in (1, 2)]
    for request in requests:
        with pytest.raises(ShuttingDown):
            await asyncio.wait_for(request, 5)
    with pytest.raises(ShuttingDown):
        FakeJob(scheduler, announced=1)


async def test_a_cancelled_request_leaves_the_queue(engine: FakeEngine, scheduler: Scheduler) -> None:
    first = await held(engine, scheduler)
    gone = asyncio.create_task(collect(scheduler, PlainViews(*range(50, 60))))
    await asyncio.sleep(0)
    assert scheduler.queued_views == 10
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    assert scheduler.queued_views == 0
    engine.gate.set()
    await first
    await collect(scheduler, PlainViews(1))
    assert [values(batch) for batch in engine.batches] == [[0], [1]]


async def test_a_full_queue_refuses_instead_of_growing(engine: FakeEngine, scheduler: Scheduler) -> None:
    first = await held(engine, scheduler)
    waiting = asyncio.create_task(collect(scheduler, PlainViews(*range(30))))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        FakeJob(scheduler, announced=3)
    last = FakeJob(scheduler, announced=2)
    with pytest.raises(Overloaded):
        FakeJob(scheduler, announced=1)
    last.submission.stop()
    engine.gate.set()
    await asyncio.gather(first, waiting)


async def test_closing_ends_every_request(engine: FakeEngine) -> None:
    scheduler = Scheduler(engine, batch_sizes=(1,), max_queued_views=32)
    await scheduler.start()
    first = await held(engine, scheduler)
    waiting = asyncio.create_task(collect(scheduler, PlainViews(1, 2)))
    await asyncio.sleep(0)
    closing = asyncio.create_task(scheduler.close())
    await asyncio.sleep(0)
    engine.gate.set()
    await closing
    assert len(await first) == 1
    with pytest.raises(ShuttingDown):
        await waiting
    with pytest.raises(ShuttingDown):
        FakeJob(scheduler, announced=1)


@pytest.fixture
def remote() -> FakeEngine:
    return FakeEngine(clip_shape=CLIP, classes=3, concurrency=2, cancellable=True)


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


async def test_an_engine_gets_as_many_batches_as_its_concurrency(remote: FakeEngine, ahead: Scheduler) -> None:
    remote.gate.clear()
    request = asyncio.create_task(collect(ahead, PlainViews(*range(7))))
    await until(lambda: len(remote.batches) == 2)
    await asyncio.sleep(0.05)
    assert sorted(map(values, remote.batches)) == [[0, 1, 2, 3], [4, 5]]
    remote.gate.set()
    assert sorted(await request) == list(range(7))


async def test_a_batch_is_cancelled_when_all_of_its_requests_are_gone(remote: FakeEngine, ahead: Scheduler) -> None:
    remote.gate.clear()
    gone = asyncio.create_task(collect(ahead, PlainViews(*range(10, 15))))
    await until(lambda: len(remote.batches) == 2)
    assert sorted(map(values, remote.batches)) == [[10, 11, 12, 13], [14]]
    stays = asyncio.create_task(collect(ahead, PlainViews(20)))
    gone.cancel()
    await until(lambda: remote.cancelled == 2)
    remote.gate.set()
    assert len(await stays) == 1
    assert remote.cancelled == 2


async def test_a_batch_that_is_still_wanted_is_finished(remote: FakeEngine, ahead: Scheduler) -> None:
    remote.gate.clear()
    gone = asyncio.create_task(collect(ahead, PlainViews(10)))
    stays = asyncio.create_task(collect(ahead, PlainViews(20)))
    await until(lambda: len(remote.batches) == 1)
    assert [values(batch) for batch in remote.batches] == [[10, 20]]
    gone.cancel()
    await asyncio.sleep(0.05)
    remote.gate.set()
    assert len(await stays) == 1
    assert remote.cancelled == 0


async def test_closing_cancels_batches(remote: FakeEngine) -> None:
    scheduler = Scheduler(remote, batch_sizes=(1,), max_queued_views=32)
    await scheduler.start()
    remote.gate.clear()
    request = asyncio.create_task(collect(scheduler, PlainViews(1, 2)))
    await until(lambda: len(remote.batches) == 2)
    await asyncio.wait_for(scheduler.close(), 5)
    with pytest.raises(ShuttingDown):
        await request


async def test_an_engine_gets_the_latest_deadline_of_its_batch(engine: FakeEngine, scheduler: Scheduler) -> None:
    for deadlines, expected in (((100.0, 200.0), 200.0), ((100.0, None), None)):
        first = await held(engine, scheduler)
        batches = [
            asyncio.create_task(collect(scheduler, PlainViews(value), deadline))
            for value, deadline in enumerate(deadlines, 1)
        ]
        await asyncio.sleep(0)
        engine.gate.set()
        await asyncio.gather(first, *batches)
        assert engine.deadlines[-1] == expected


# Submissions that grow ------------------------------------------------------------------------------


async def test_views_may_be_added_while_earlier_ones_run(engine: FakeEngine, scheduler: Scheduler) -> None:
    engine.gate.clear()
    request = FakeJob(scheduler, announced=3)
    request.add(PlainViews(10))
    await engine.running.wait()
    request.submission.add([View(1, partial(PlainViews(20).write, 0)), View(2, partial(PlainViews(30).write, 0))])
    assert scheduler.queued_views == 2
    engine.gate.set()
    assert sorted(await request.results(3)) == [0, 1, 2]
    assert [values(batch) for batch in engine.batches] == [[10], [20, 30]]
    request.submission.stop()


async def test_views_that_were_announced_have_their_place_kept(engine: FakeEngine, scheduler: Scheduler) -> None:
    request = FakeJob(scheduler, announced=30)
    with pytest.raises(Overloaded, match="30 views wait and this request adds 3"):
        FakeJob(scheduler, announced=3)
    request.submission.stop()
    FakeJob(scheduler, announced=3).submission.stop()


async def test_what_has_begun_may_grow_past_the_limit(engine: FakeEngine, scheduler: Scheduler) -> None:
    first = await held(engine, scheduler)
    request = FakeJob(scheduler, announced=30)
    request.add(PlainViews(*range(30)))
    request.add(PlainViews(*range(30)))
    assert scheduler.queued_views == 60
    engine.gate.set()
    await first
    assert len(await request.results(30)) == 30
    request.submission.stop()


async def test_views_that_were_withdrawn_do_not_run_and_others_may_follow(
    engine: FakeEngine, scheduler: Scheduler
) -> None:
    first = await held(engine, scheduler)
    request = FakeJob(scheduler, announced=3)
    request.add(PlainViews(10, 11))
    await asyncio.sleep(0)
    request.submission.withdraw()
    request.submission.add([View(7, partial(PlainViews(20).write, 0))])
    engine.gate.set()
    await first
    assert list(await request.results(1)) == [7]
    assert [values(batch) for batch in engine.batches] == [[0], [20]]
    request.submission.stop()


async def test_a_stopped_submission_takes_nothing_and_delivers_nothing(
    engine: FakeEngine, scheduler: Scheduler
) -> None:
    engine.gate.clear()
    request = FakeJob(scheduler, announced=2)
    request.add(PlainViews(10))
    await engine.running.wait()
    request.submission.stop()
    request.add(PlainViews(11))
    assert scheduler.queued_views == 0
    engine.gate.set()
    await collect(scheduler, PlainViews(1))
    assert request.inbox.empty()


# One batch ahead of the engine ----------------------------------------------------------------------


class NotedViews(PlainViews):
    """Notes which of its views were written."""

    def __init__(self, *values: int) -> None:
        super().__init__(*values)
        self.written: list[int] = []

    def write(self, view: int, out: UInt8Array) -> None:
        super().write(view, out)
        self.written.append(view)


async def test_a_full_batch_is_put_together_while_the_engine_runs(engine: FakeEngine, scheduler: Scheduler) -> None:
    first = await held(engine, scheduler)
    views = NotedViews(*range(10, 16))
    request = asyncio.create_task(collect(scheduler, views))
    await until(lambda: len(views.written) == 4)
    await asyncio.sleep(0.05)
    assert views.written == [0, 1, 2, 3]
    assert scheduler.queued_views == 6, "what was not handed to the engine waits"
    engine.gate.set()
    await asyncio.gather(first, request)
    assert [len(batch) for batch in engine.batches] == [1, 4, 2]


async def test_a_batch_that_could_still_grow_is_left_to_grow(engine: FakeEngine, scheduler: Scheduler) -> None:
    first = await held(engine, scheduler)
    views = NotedViews(10, 11, 12)
    request = asyncio.create_task(collect(scheduler, views))
    await asyncio.sleep(0.05)
    assert views.written == []
    other = asyncio.create_task(collect(scheduler, PlainViews(20)))
    await asyncio.sleep(0)
    engine.gate.set()
    await asyncio.gather(first, request, other)
    assert [values(batch) for batch in engine.batches] == [[0], [10, 20, 11, 12]]


async def test_a_batch_assembled_for_a_request_that_left_is_made_anew(engine: FakeEngine, scheduler: Scheduler) -> None:
    first = await held(engine, scheduler)
    gone = asyncio.create_task(collect(scheduler, PlainViews(10, 11)))
    stays = NotedViews(20, 21)
    request = asyncio.create_task(collect(scheduler, stays))
    await until(lambda: len(stays.written) == 2)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    assert scheduler.queued_views == 2
    engine.gate.set()
    await asyncio.gather(first, request)
    assert [values(batch) for batch in engine.batches] == [[0], [20, 21]]


# What is reported -----------------------------------------------------------------------------------


class StageLog:
    def __init__(self) -> None:
        self.stages: list[Stage] = []

    def observe(self, stage: Stage) -> None:
        self.stages.append(stage)


async def test_observers_get_stages_of_queue_and_batches(engine: FakeEngine) -> None:
    everything, own, other = StageLog(), StageLog(), StageLog()
    scheduler = Scheduler(engine, batch_sizes=(1, 2, 4), max_queued_views=32, observer=everything)
    await scheduler.start()
    first = await held(engine, scheduler)
    inbox: asyncio.Queue[ViewResult[int] | LapsError] = asyncio.Queue()
    for request_id, notes, count in (("a", own, 3), ("b", other, 1)):
        submission: Submission[int] = scheduler.submit(
            inbox.put_nowait, announced=count, request_id=request_id, observer=notes
        )
        submission.add(View(number, partial(PlainViews(9).write, 0)) for number in range(count))
    await asyncio.sleep(0.02)
    engine.gate.set()
    await first
    for _ in range(4):
        await inbox.get()
    await scheduler.close()
    assert [type(stage) for stage in own.stages] == [Batched, Queued, Queued, Queued, Ran]
    (ran,) = [stage for stage in other.stages if isinstance(stage, Ran)]
    assert ran.request_ids == ("b",)
    (whole,) = [stage for stage in everything.stages if isinstance(stage, Ran) and len(stage.request_ids) == 4]
    assert whole.request_ids == ("a", "b", "a", "a")
    assert ran.seconds == pytest.approx(whole.seconds / 4)
    assert all(stage.seconds >= 0.01 for stage in own.stages if isinstance(stage, Queued))
    assert sum(isinstance(stage, Ran) for stage in everything.stages) == 2


async def test_a_batch_runs_in_the_name_of_its_first_request_that_is_traced() -> None:
    seen: list[dict[str, str]] = []

    class Asking(FakeEngine):
        async def infer(self, clips: UInt8Array, *, deadline: float | None = None) -> InferResult:
            seen.append(dict(trace_headers()))
            return await super().infer(clips, deadline=deadline)

    engine = Asking(clip_shape=CLIP, classes=3)
    scheduler = Scheduler(engine, batch_sizes=(1, 2, 4), max_queued_views=32)
    await scheduler.start()

    async def traced(number: int, headers: dict[str, str]) -> None:
        carry_trace(headers)
        await collect(scheduler, PlainViews(number))

    first = await held(engine, scheduler)
    of_requests: tuple[dict[str, str], ...] = ({}, {"traceparent": "b"}, {"traceparent": "c"}, {})
    together = [asyncio.create_task(traced(*each)) for each in enumerate(of_requests, 1)]
    await asyncio.sleep(0)
    engine.gate.set()
    await asyncio.gather(first, *together)
    await scheduler.close()
    assert [values(batch) for batch in engine.batches] == [[0], [1, 2, 3, 4]]
    assert seen == [{}, {"traceparent": "b"}]


async def test_a_batch_that_cannot_be_put_together_fails_alone(
    engine: FakeEngine, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr("laps_server.scheduler.np.empty", no_memory)
        with pytest.raises(InternalError):
            await asyncio.wait_for(collect(scheduler, PlainViews(1, 2)), 5)
    assert sorted(await collect(scheduler, PlainViews(3, 4))) == [0, 1]


async def test_named_deadlines_order_the_queue_and_the_rest_take_turns(
    engine: FakeEngine, scheduler: Scheduler
) -> None:
    first = await held(engine, scheduler)
    waiting = [
        asyncio.create_task(collect(scheduler, PlainViews(*values), deadline, urgent=urgent))
        for values, deadline, urgent in (
            ((10, 11), 300.0, False),
            ((20, 21), 300.0, False),
            ((30, 31), 90.0, True),
            ((40, 41), 50.0, True),
        )
    ]
    await asyncio.sleep(0)
    engine.gate.set()
    await asyncio.gather(first, *waiting)
    assert [values(batch) for batch in engine.batches] == [[0], [40, 41, 30, 31], [10, 20, 11, 21]]


async def test_an_urgent_request_does_not_go_before_one_that_must_be_ready_earlier(
    engine: FakeEngine, scheduler: Scheduler
) -> None:
    first = await held(engine, scheduler)
    has_waited = asyncio.create_task(collect(scheduler, PlainViews(10, 11, 12, 13), 40.0))
    urgent = asyncio.create_task(collect(scheduler, PlainViews(20, 21, 22, 23), 50.0, urgent=True))
    await asyncio.sleep(0)
    engine.gate.set()
    await asyncio.gather(first, has_waited, urgent)
    assert [values(batch) for batch in engine.batches] == [[0], [10, 11, 12, 13], [20, 21, 22, 23]]


async def test_what_goes_before_a_newcomer_is_known_by_the_order_of_the_queue(
    engine: FakeEngine, scheduler: Scheduler
) -> None:
    first = await held(engine, scheduler)  # one view runs: half of it is left
    assert scheduler.ahead(8).all == 0.5
    plain = FakeJob(scheduler, announced=10)
    plain.add(PlainViews(*range(4)))
    await asyncio.sleep(0)
    taken = 0.5 + 4  # the next batch is put together
    with scheduler.reserve(20, 50.0) as reservation:
        assert scheduler.ahead(3).all == taken + 3 + 20, "it takes turns with the one, and the other is urgent"
        assert scheduler.ahead(30).undecoded == 6 + 20
        assert scheduler.ahead(30, 40.0).all == taken, "it is more urgent than all that wait"
        assert scheduler.ahead(30, 60.0).undecoded == 20
        reservation.release()
        assert scheduler.ahead(30).undecoded == 6
    plain.submission.stop()
    engine.gate.set()
    await first
    assert scheduler.ahead(30).all == 0
    assert scheduler.work_s == 0
    assert scheduler.view_s > 0
