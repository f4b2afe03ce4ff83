"""View-level continuous batching: views of all requests wait in one queue, and every batch takes what is there.

::

    request A  [a0 a1 a2 a3 a4]  ─┐   round robin     ┌─ batch 1: a0 b0 a1 b1
    request B  [b0 b1]           ─┴──────────────────►├─ batch 2: a2 a3
                                                      └─ batch 3: a4

A batch never waits for more views to arrive. Views are taken in turn from all requests, so a request of one view is not
stuck behind one of thirty. A request whose client named a deadline goes before them while its deadline is the nearest.
Batch sizes come from a small fixed set. While the engine runs, the next batch is put together if there are enough views
for a full one: a smaller one could still grow. The scheduler knows an :class:`~laps_server.engines.base.Engine` and
nothing else: what a view is, and the order of views, is the caller's concern.

An engine may run several batches concurrently. If it can cancel a batch, one whose requests are all gone is cancelled.

A submission may grow until it is stopped. Every view of it ends: with its result, with the error of its batch, with
``ShuttingDown``, or because the submission was stopped. After that none of its waiting views is run.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from laps_server.arrays import Float32Array, UInt8Array
from laps_server.engines.base import Engine, EngineInfo, InferResult
from laps_server.errors import InternalError, LapsError, Overloaded, ShuttingDown, Unavailable
from laps_server.moving_average import MovingAverage
from laps_server.observe import Batched, NoObserver, Observer, Queued, Ran, now
from laps_server.trace_context import carry_trace, trace_headers

_LOG = logging.getLogger(__name__)

Tag = TypeVar("Tag")


@dataclass(frozen=True, slots=True)
class View(Generic[Tag]):
    """One view that waits to be run.

    ``write`` puts its clip into an array ``[T, H, W, 3]`` when its turn comes, in a worker thread. Its result carries
    the same ``tag``.
    """

    tag: Tag
    write: Callable[[UInt8Array], object]


@dataclass(frozen=True, slots=True)
class ViewResult(Generic[Tag]):
    """One view's logits, ``[R, K]`` or ``[K]``, and its embedding ``[D]`` where the model gives one."""

    tag: Tag
    logits: Float32Array
    embedding: Float32Array | None = None


class Submission(Generic[Tag]):
    """The views of one request on their way; made by :meth:`Scheduler.submit`."""

    def __init__(
        self,
        deliver: Callable[[ViewResult[Tag] | LapsError], None],
        changed: asyncio.Event,
        *,
        deadline: float | None,
        urgent: bool,
        request_id: str,
        observer: Observer,
        background: bool,
    ) -> None:
        self.background = background
        self.deadline = deadline
        self.urgent = urgent and deadline is not None
        self.request_id = request_id
        self.observer = observer
        self.trace_headers = trace_headers()
        self.ended = False  # its results are no longer wanted
        self.announced = 0  # views that are still to be added
        self.waiting: deque[tuple[View[Tag], float]] = deque()  # with the moment at which they came
        self._deliver = deliver
        self._changed = changed

    def add(self, views: Iterable[View[Tag]]) -> None:
        """Put more views in the queue: those that were announced, or further ones.

        The queue's limit is for new requests, not for these. Nothing happens once this has ended.
        """
        if not self.ended:
            added = [(view, now()) for view in views]
            self.waiting.extend(added)
            self.announced = max(0, self.announced - len(added))
            self._changed.set()

    def withdraw(self) -> None:
        """Take the waiting views out of the queue; more may be added. Views that run are still delivered."""
        self.waiting.clear()
        self._changed.set()

    def stop(self) -> None:
        """Take the waiting views out of the queue; results of those that run are dropped."""
        self.ended = True
        self.announced = 0
        self.withdraw()

    def deliver(self, view: View[Tag], logits: Float32Array, embedding: Float32Array | None) -> None:
        """Hand over one view's result."""
        if not self.ended:
            self._deliver(ViewResult(view.tag, logits, embedding))

    def fail(self, error: LapsError) -> None:
        """End with ``error``; waiting views are dropped."""
        if not self.ended:
            self.stop()
            self._deliver(error)


@dataclass(frozen=True, slots=True)
class _Taken:
    """A view that left the queue, where it waited since ``since``."""

    submission: Submission[Any]
    view: View[Any]
    since: float


_Batch = list[_Taken]


@dataclass(eq=False, slots=True)
class Reservation:
    """Views that a request will bring; made by :meth:`Scheduler.reserve`."""

    views: int
    urgent_deadline: float | None

    def release(self) -> None:
        """They are here, or will not come."""
        self.views = 0


@dataclass(frozen=True, slots=True)
class ViewsAhead:
    """Views that run before a newcomer's: of all of them, how many are still to be decoded."""

    all: float
    undecoded: float


@dataclass(frozen=True, slots=True)
class _NextBatch:
    """The batch that the engine gets next, and the task that puts its pixels together."""

    batch: _Batch
    assembling: asyncio.Task[UInt8Array]

    @property
    def is_broken(self) -> bool:
        """Whether a request in it is gone."""
        return any(taken.submission.ended for taken in self.batch)


class Scheduler:
    """Forms batches for one engine from the views of all requests."""

    def __init__(
        self,
        engine: Engine,
        *,
        batch_sizes: tuple[int, ...],
        max_queued_views: int,
        model: str = "",
        observer: Observer | None = None,
    ) -> None:
        self._engine = engine
        self._batch_sizes = tuple(sorted(batch_sizes))
        self._max_queued_views = max_queued_views
        self._model = model
        self._observer = observer or NoObserver()
        self._queue: deque[Submission[Any]] = deque()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._running: dict[asyncio.Task[None], _Batch] = {}
        self._view = MovingAverage()
        self._reservations: set[Reservation] = set()
        self._next: _NextBatch | None = None
        self._closed = False

    @property
    def engine(self) -> Engine:
        """What runs the batches."""
        return self._engine

    @property
    def queued_views(self) -> int:
        """Views that wait, of all requests; those of the next batch too."""
        batch = self._next.batch if self._next else ()
        taken = sum(not item.submission.ended for item in batch)
        return taken + sum(len(submission.waiting) for submission in self._queue)

    @property
    def view_s(self) -> float:
        """Seconds that a view takes of the engine's time, by the last batches; 0 where none has run."""
        return self._view.seconds

    @property
    def work_s(self) -> float:
        """Seconds until the engine is through with all views that it knows of, those to come included."""
        return self.ahead(math.inf).all * self.view_s

    def ahead(self, views: float, urgent_deadline: float | None = None) -> ViewsAhead:
        """Views that are done before the last one of a newcomer's, by the rules of this queue.

        Those of more urgent requests are, and all that run, of which half is taken to be left. Of others as many as it
        has itself are, since they take turns, or none where it is urgent.

        Args:
            views: that it has.
            urgent_deadline: where its client named one.
        """
        running = sum(map(len, self._running.values())) / 2
        next_batch = self._next.batch if self._next else ()
        everything = running + sum(not taken.submission.ended for taken in next_batch)
        undecoded = 0.0
        own = math.inf if urgent_deadline is None else urgent_deadline
        for waiting, to_come, deadline in self._known():
            most = views if urgent_deadline is None else 0
            counted = min(waiting + to_come, math.inf if deadline is not None and deadline <= own else most)
            everything += counted
            undecoded += min(to_come, counted)
        return ViewsAhead(everything, undecoded)

    def _known(self) -> Iterator[tuple[int, int, float | None]]:
        """Of each request the views that wait, those that are still to be decoded, and the deadline if it is urgent."""
        for reservation in self._reservations:
            yield 0, reservation.views, reservation.urgent_deadline
        for submission in self._queue:
            if not submission.ended and not submission.background:  # what is in the background makes way
                urgent = submission.deadline if submission.urgent else None
                yield len(submission.waiting), submission.announced, urgent

    @contextmanager
    def reserve(self, views: int, urgent_deadline: float | None = None) -> Iterator[Reservation]:
        """Count views of a request that is still on its way as work to come."""
        reservation = Reservation(views, urgent_deadline)
        self._reservations.add(reservation)
        try:
            yield reservation
        finally:
            self._reservations.discard(reservation)

    async def start(self) -> None:
        """Start the engine, warm every batch size, then begin to take views."""
        await self._engine.start(self._batch_sizes)
        most = self._engine.info.max_batch_views  # known only now where the engine was chosen at its start
        if most is not None:
            self._batch_sizes = tuple(size for size in self._batch_sizes if size <= most)
        self._task = asyncio.create_task(self._run(), name="scheduler")

    async def close(self) -> None:
        """End the batches in flight and every submission, then close the engine."""
        self._closed = True
        self._changed.set()
        try:
            if self._task is not None:
                await self._task
        finally:
            await self._engine.close()

    def submit(
        self,
        deliver: Callable[[ViewResult[Tag] | LapsError], None],
        *,
        announced: int,
        deadline: float | None = None,
        urgent: bool = False,
        request_id: str = "",
        observer: Observer | None = None,
        background: bool = False,
    ) -> Submission[Tag]:
        """Begin a request; :meth:`Submission.add` puts its views in the queue.

        Args:
            deliver: called on the event loop with each view's result as it comes, or with the error that ends it.
            announced: views to come, for which the queue must have room.
            deadline: a point of :func:`laps_server.observe.now`; the caller enforces it.
            urgent: whether its deadline puts it before others.
            request_id: whose views they are.
            observer: gets the stages of this request, beside the scheduler's own.
            background: whether nobody waits for it, and it will be stopped where somebody does.

        Raises:
            Overloaded: the queue would grow past its limit.
            ShuttingDown: after ``close``.
        """
        if self._closed:
            raise ShuttingDown()
        queued = self.queued_views + sum(submission.announced for submission in self._queue)
        if queued + announced > self._max_queued_views:
            raise Overloaded(
                f"{queued} views wait and this request adds {announced}, "
                f"more than the limit of {self._max_queued_views}",
                hint="try again later, or ask for fewer views, as in views=1x1",
            )
        submission = Submission(
            deliver,
            self._changed,
            deadline=deadline,
            urgent=urgent,
            request_id=request_id,
            observer=observer or NoObserver(),
            background=background,
        )
        submission.announced = announced
        self._queue.append(submission)
        return submission

    # The loop ----------------------------------------------------------------------------------------

    async def _run(self) -> None:
        info = self._engine.info
        try:
            while not self._closed:
                self._changed.clear()
                if info.cancellable:
                    self._cancel(lambda batch: all(taken.submission.ended for taken in batch))
                if not self._advance(free=len(self._running) < info.concurrency):
                    await self._changed.wait()
        finally:  # however the loop ends, no request is left waiting and no new one gets in
            self._closed = True
            if info.cancellable:
                self._cancel(lambda _: True)
            if self._next is not None:
                await asyncio.gather(self._next.assembling, return_exceptions=True)
            await asyncio.gather(*self._running, return_exceptions=True)
            for submission in self._queue:
                submission.fail(ShuttingDown())
            self._queue.clear()

    def _advance(self, *, free: bool) -> bool:
        """Take one step, if there is one: put the next batch together, or hand it to the engine."""
        if self._next is None:
            batch = self._take_batch(only_full=not free)
            if not batch:
                return False
            assembling = asyncio.create_task(self._assemble(batch), name="assemble")
            assembling.add_done_callback(lambda _: self._changed.set())
            self._next = _NextBatch(batch, assembling)
            return True
        following = self._next
        if not following.assembling.done() or not (free or following.is_broken):
            return False
        self._next = None
        if (failure := following.assembling.exception()) is not None:  # no memory, no thread: only this batch fails
            _fail([taken.submission for taken in following.batch], failure)
        elif following.is_broken:  # what is left of it would be a batch of another size
            self._put_back(following.batch)
        else:
            running = asyncio.create_task(self._run_batch(following.batch, following.assembling.result()), name="batch")
            self._running[running] = following.batch
            running.add_done_callback(self._batch_ended)
        return True

    def _take_batch(self, *, only_full: bool) -> _Batch:
        """The largest batch that there are views for: of urgent requests first, then one of each request in turn."""
        self._queue = deque(submission for submission in self._queue if not submission.ended)
        available = sum(len(submission.waiting) for submission in self._queue)
        size = max((size for size in self._batch_sizes if size <= available), default=0)
        if only_full and size < self._batch_sizes[-1]:
            return []
        batch = self._take_urgent(size)
        while len(batch) < size:
            submission = self._queue.popleft()
            if submission.waiting and not submission.urgent:
                batch.append(_Taken(submission, *submission.waiting.popleft()))
            self._queue.append(submission)
        return batch

    def _take_urgent(self, size: int) -> _Batch:
        """Views of urgent requests by their deadlines, as long as these come before everybody else's."""
        waiting = [submission for submission in self._queue if submission.waiting]
        others = [_deadline(submission) for submission in waiting if not submission.urgent]
        nearest = min(others, default=math.inf)
        free = sum(len(submission.waiting) for submission in waiting if not submission.urgent)
        batch: _Batch = []
        for submission in sorted((item for item in waiting if item.urgent), key=_deadline):
            # What others cannot fill is taken too: a batch is as large as there are views.
            most = size if _deadline(submission) <= nearest else size - free
            while submission.waiting and len(batch) < most:
                batch.append(_Taken(submission, *submission.waiting.popleft()))
        return batch

    def _put_back(self, batch: _Batch) -> None:
        for taken in reversed(batch):
            if not taken.submission.ended:
                taken.submission.waiting.appendleft((taken.view, taken.since))

    def _cancel(self, unwanted: Callable[[_Batch], bool]) -> None:
        for running, batch in self._running.items():
            if unwanted(batch) and not running.cancelling():
                running.cancel()

    def _batch_ended(self, running: asyncio.Task[None]) -> None:
        del self._running[running]
        if running.cancelled() and not running.cancelling():  # by the engine, which cannot go on
            self._closed = True
        self._changed.set()

    # One batch ---------------------------------------------------------------------------------------

    async def _assemble(self, batch: _Batch) -> UInt8Array:
        """The batch's pixels. If a request's pixels cannot be read, it alone fails, and the batch is broken."""
        began = now()
        clips = np.empty((len(batch), *self._engine.info.clip_shape), np.uint8)
        unreadable = await asyncio.to_thread(_write_all, batch, clips)
        for submission, exc in unreadable:
            _fail([submission], exc)
        self._report(batch, Batched, now() - began)
        return clips

    async def _run_batch(self, batch: _Batch, clips: UInt8Array) -> None:
        # Of all requests in it one can be told as the cause: the first that is traced.
        carry_trace(next((found for taken in batch if (found := taken.submission.trace_headers)), {}))
        began = now()
        for taken in batch:
            queued = Queued(self._model, taken.submission.request_id, began - taken.since)
            self._observer.observe(queued)
            taken.submission.observer.observe(queued)
        try:
            result = await self._engine.infer(clips, deadline=_latest_deadline(batch))
            _check_shapes(result, self._engine.info, size=len(batch))
        except BaseException as exc:
            # Whatever an engine raises fails the batch's submissions, never the loop; a cancellation ends them.
            _fail([taken.submission for taken in batch], exc)
            if not isinstance(exc, Exception):
                raise
            return
        seconds = now() - began
        self._view.learn(seconds / len(batch) / max(1, len(self._running)))
        self._report(batch, Ran, seconds)
        for place, taken in enumerate(batch):
            logits = result.logits[place]
            embedding = None if result.embedding is None else result.embedding[place]
            if np.isfinite(logits).all() and (embedding is None or np.isfinite(embedding).all()):
                taken.submission.deliver(taken.view, logits, embedding)
            else:
                _fail([taken.submission], InternalError("the engine returned numbers that are not finite"))

    def _report(self, batch: _Batch, stage: type[Batched] | type[Ran], seconds: float) -> None:
        """Report a stage: the whole batch to the scheduler's observer, its own share to that of each request."""
        self._observer.observe(stage(self._model, _request_ids(batch), seconds, seconds))
        for submission in {id(taken.submission): taken.submission for taken in batch}.values():
            own = [taken for taken in batch if taken.submission is submission]
            share_s = seconds * len(own) / len(batch)
            submission.observer.observe(stage(self._model, _request_ids(own), share_s, seconds))


def _deadline(submission: Submission[Any]) -> float:
    return math.inf if submission.deadline is None else submission.deadline


def _check_shapes(result: InferResult, info: EngineInfo, *, size: int) -> None:
    """Refuse outputs of other shapes than the engine said."""
    expected = (size, *info.output_shape)
    if result.logits.shape != expected:
        raise InternalError(f"the engine returned logits {result.logits.shape}, expected {expected}")
    found = None if result.embedding is None else result.embedding.shape
    wanted = None if info.embedding_size is None else (size, info.embedding_size)
    if found != wanted:
        raise InternalError(f"the engine returned an embedding {found}, expected {wanted}")


def _write_all(batch: _Batch, clips: UInt8Array) -> list[tuple[Submission[Any], Exception]]:
    """Fill ``clips`` and return the submissions whose views could not be written."""
    unreadable = []
    for out, taken in zip(clips, batch, strict=True):
        try:
            taken.view.write(out)
        except Exception as exc:  # only the view's own request fails
            unreadable.append((taken.submission, exc))
    return unreadable


def _fail(submissions: list[Submission[Any]], exc: BaseException) -> None:
    wanted = {id(submission): submission for submission in submissions if not submission.ended}
    if not wanted:
        return
    if isinstance(exc, Unavailable):  # no defect: one line a batch, no traceback
        _LOG.warning("a batch failed: %s", exc)
    else:
        _LOG.error("a batch failed", exc_info=exc)
    error = exc if isinstance(exc, LapsError) else InternalError("inference failed")
    for submission in wanted.values():
        submission.fail(error if isinstance(exc, Exception) else ShuttingDown())


def _request_ids(batch: _Batch) -> tuple[str, ...]:
    return tuple(taken.submission.request_id for taken in batch)


def _latest_deadline(batch: _Batch) -> float | None:
    """The latest deadline of a batch's requests; None if one of them has none."""
    deadlines = [taken.submission.deadline for taken in batch]
    return None if None in deadlines else max(deadline for deadline in deadlines if deadline is not None)
