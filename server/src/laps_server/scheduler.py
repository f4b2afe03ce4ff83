"""View-level continuous batching: views of all requests wait in one queue, and every batch takes what is there.

::

    request A  [a0 a1 a2 a3 a4]  ─┐   round robin     ┌─ batch 1: a0 b0 a1 b1
    request B  [b0 b1]           ─┴──────────────────►├─ batch 2: a2 a3
                                                      └─ batch 3: a4

A batch never waits for more views to arrive. Views are taken in turn from the requests that have any, so a request
of one view is not stuck behind one of thirty. Batch sizes come from a small fixed set. While the engine runs, the next
batch is put together, if there are views enough for a full one: a smaller one could still grow. The scheduler knows an
:class:`~laps_server.engines.base.Engine` and nothing else: what a view is, and the order of views, are the request's
affair.

An engine may take several batches at once, and may be able to take one back: then a batch whose requests are all gone
is cancelled.

A submission may grow until it is stopped. Every view of it ends: with its result, with the error of the batch that
held it, with ``ShuttingDown``, or by the submission's being stopped, after which none of its waiting views is run.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from laps_server.arrays import Float32Array, UInt8Array
from laps_server.engines.base import Engine
from laps_server.errors import InternalError, LapsError, Overloaded, ShuttingDown, Unavailable
from laps_server.observe import Batched, NoObserver, Observer, Queued, Ran, now

_LOG = logging.getLogger(__name__)

Tag = TypeVar("Tag")


@dataclass(frozen=True, slots=True)
class View(Generic[Tag]):
    """One view that waits to be run.

    ``write`` puts its clip into an array ``[T, H, W, 3]`` when its turn comes, in a worker thread; ``tag`` is what its
    result is known by.
    """

    tag: Tag
    write: Callable[[UInt8Array], object]


@dataclass(frozen=True, slots=True)
class ViewResult(Generic[Tag]):
    """One view's logits, ``[T, K]`` or ``[K]``."""

    tag: Tag
    logits: Float32Array


class Submission(Generic[Tag]):
    """The views of one request on their way; made by :meth:`Scheduler.submit`."""

    def __init__(
        self,
        deliver: Callable[[ViewResult[Tag] | LapsError], None],
        changed: asyncio.Event,
        *,
        deadline: float | None,
        request_id: str,
        observer: Observer,
    ) -> None:
        self.deadline = deadline
        self.request_id = request_id
        self.observer = observer
        self.over = False  # nobody waits for results any more
        self.announced = 0  # views that are still to be added
        self.waiting: deque[tuple[View[Tag], float]] = deque()  # with the moment at which they came
        self._deliver = deliver
        self._changed = changed

    def add(self, views: Iterable[View[Tag]]) -> None:
        """Put more views in the queue: those that were announced, or further ones.

        What has begun goes on: the queue's limit is kept for newcomers. Nothing happens once this has ended.
        """
        if not self.over:
            added = [(view, now()) for view in views]
            self.waiting.extend(added)
            self.announced = max(0, self.announced - len(added))
            self._changed.set()

    def withdraw(self) -> None:
        """Take the waiting views out of the queue; others may follow. Views that run go on, and are delivered."""
        self.waiting.clear()
        self._changed.set()

    def stop(self) -> None:
        """Take the waiting views out of the queue; the results of those that run are thrown away."""
        self.over = True
        self.announced = 0
        self.withdraw()

    def deliver(self, view: View[Tag], logits: Float32Array) -> None:
        """Hand one view's result to whoever wants it."""
        if not self.over:
            self._deliver(ViewResult(view.tag, logits))

    def fail(self, error: LapsError) -> None:
        """End with ``error``; waiting views are dropped."""
        if not self.over:
            self.stop()
            self._deliver(error)


@dataclass(frozen=True, slots=True)
class _Taken:
    """A view that left the queue, where it waited since ``since``."""

    submission: Submission[Any]
    view: View[Any]
    since: float


_Batch = list[_Taken]


@dataclass(frozen=True, slots=True)
class _Ahead:
    """The batch that the engine gets next, and the task that puts its pixels together."""

    batch: _Batch
    assembling: asyncio.Task[UInt8Array]

    @property
    def is_broken(self) -> bool:
        """Whether a request of it is gone."""
        return any(taken.submission.over for taken in self.batch)


class Scheduler:
    """Forms batches for one engine from the views of all requests."""

    def __init__(
        self,
        engine: Engine,
        *,
        batch_sizes: tuple[int, ...],
        max_queued_views: int,
        observer: Observer | None = None,
    ) -> None:
        self._engine = engine
        self._batch_sizes = tuple(sorted(batch_sizes))
        self._max_queued_views = max_queued_views
        self._observer = observer or NoObserver()
        self._queue: deque[Submission[Any]] = deque()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._running: dict[asyncio.Task[None], _Batch] = {}
        self._ahead: _Ahead | None = None
        self._closed = False

    @property
    def engine(self) -> Engine:
        """What runs the batches."""
        return self._engine

    @property
    def queued_views(self) -> int:
        """Views that wait, of all requests; those in the batch that is put together ahead of the engine too."""
        ahead = self._ahead.batch if self._ahead else ()
        taken = sum(not item.submission.over for item in ahead)
        return taken + sum(len(submission.waiting) for submission in self._queue)

    async def start(self) -> None:
        """Start the engine, warm every batch size, then begin to take views."""
        await self._engine.start(self._batch_sizes)
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
        request_id: str = "",
        observer: Observer | None = None,
    ) -> Submission[Tag]:
        """Begin a request; its views are put in the queue by :meth:`Submission.add`.

        Args:
            deliver: called on the event loop with each view's result as it comes, or with the error that ends it.
            announced: views that will be added, which the queue has to have room for.
            deadline: a point of :func:`laps_server.observe.now`; the engine is told, whoever waits has to keep it.
            request_id: whose views they are.
            observer: told of the stages of this request, beside the scheduler's own.

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
            deliver, self._changed, deadline=deadline, request_id=request_id, observer=observer or NoObserver()
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
                    self._cancel(lambda batch: all(taken.submission.over for taken in batch))
                if not self._advance(free=len(self._running) < info.calls_at_once):
                    await self._changed.wait()
        finally:  # however the loop ends, nobody is left waiting and nobody new is let in
            self._closed = True
            if info.cancellable:
                self._cancel(lambda _: True)
            if self._ahead is not None:
                await asyncio.gather(self._ahead.assembling, return_exceptions=True)
            await asyncio.gather(*self._running, return_exceptions=True)
            for submission in self._queue:
                submission.fail(ShuttingDown())
            self._queue.clear()

    def _advance(self, *, free: bool) -> bool:
        """Take one step, if there is one: put the next batch together, or hand it to the engine."""
        if self._ahead is None:
            batch = self._take_batch(only_full=not free)
            if not batch:
                return False
            assembling = asyncio.create_task(self._assemble(batch), name="assemble")
            assembling.add_done_callback(lambda _: self._changed.set())
            self._ahead = _Ahead(batch, assembling)
            return True
        ahead = self._ahead
        if not ahead.assembling.done() or not (free or ahead.is_broken):
            return False
        self._ahead = None
        if (failure := ahead.assembling.exception()) is not None:  # no memory, no thread: it is this batch's affair
            _fail([taken.submission for taken in ahead.batch], failure)
        elif ahead.is_broken:  # what is left of it would be a batch of another size
            self._put_back(ahead.batch)
        else:
            running = asyncio.create_task(self._run_batch(ahead.batch, ahead.assembling.result()), name="batch")
            self._running[running] = ahead.batch
            running.add_done_callback(self._batch_ended)
        return True

    def _take_batch(self, *, only_full: bool) -> _Batch:
        """The largest batch that there are views for, one view of each request in turn."""
        self._queue = deque(submission for submission in self._queue if not submission.over)
        available = sum(len(submission.waiting) for submission in self._queue)
        size = max((size for size in self._batch_sizes if size <= available), default=0)
        if only_full and size < self._batch_sizes[-1]:
            return []
        batch: _Batch = []
        while len(batch) < size:
            submission = self._queue.popleft()
            if submission.waiting:
                batch.append(_Taken(submission, *submission.waiting.popleft()))
            self._queue.append(submission)
        return batch

    def _put_back(self, batch: _Batch) -> None:
        for taken in reversed(batch):
            if not taken.submission.over:
                taken.submission.waiting.appendleft((taken.view, taken.since))

    def _cancel(self, unwanted: Callable[[_Batch], bool]) -> None:
        for running, batch in self._running.items():
            if unwanted(batch) and not running.cancelling():
                running.cancel()

    def _batch_ended(self, running: asyncio.Task[None]) -> None:
        del self._running[running]
        if running.cancelled() and not running.cancelling():  # by the engine, which ends what it cannot go on with
            self._closed = True
        self._changed.set()

    # One batch ---------------------------------------------------------------------------------------

    async def _assemble(self, batch: _Batch) -> UInt8Array:
        """The batch's pixels. A request whose pixels cannot be had fails alone; the batch is broken then."""
        began = now()
        clips = np.empty((len(batch), *self._engine.info.clip_shape), np.uint8)
        unreadable = await asyncio.to_thread(_write_all, batch, clips)
        for submission, exc in unreadable:
            _fail([submission], exc)
        self._tell(batch, Batched, now() - began)
        return clips

    async def _run_batch(self, batch: _Batch, clips: UInt8Array) -> None:
        began = now()
        for taken in batch:
            queued = Queued(taken.submission.request_id, began - taken.since)
            self._observer.observe(queued)
            taken.submission.observer.observe(queued)
        try:
            logits = await self._engine.infer(clips, deadline=_latest_deadline(batch))
            expected = (len(batch), *self._engine.info.output_shape)
            if logits.shape != expected:
                raise InternalError(f"the engine returned logits {logits.shape}, expected {expected}")
        except BaseException as exc:
            # Whatever an engine raises fails its own submissions and never the loop; a cancellation ends them.
            _fail([taken.submission for taken in batch], exc)
            if not isinstance(exc, Exception):
                raise
            return
        self._tell(batch, Ran, now() - began)
        for taken, row in zip(batch, logits, strict=True):
            if np.isfinite(row).all():
                taken.submission.deliver(taken.view, row)
            else:
                _fail([taken.submission], InternalError("the engine returned logits that are not finite"))

    def _tell(self, batch: _Batch, stage: type[Batched] | type[Ran], seconds: float) -> None:
        """The scheduler's observer of the batch, and that of each request in it of its own share."""
        self._observer.observe(stage(_request_ids(batch), seconds))
        for submission in {id(taken.submission): taken.submission for taken in batch}.values():
            own = [taken for taken in batch if taken.submission is submission]
            submission.observer.observe(stage(_request_ids(own), seconds * len(own) / len(batch)))


def _write_all(batch: _Batch, clips: UInt8Array) -> list[tuple[Submission[Any], Exception]]:
    """Fill ``clips`` and return the submissions whose views could not be written."""
    unreadable = []
    for out, taken in zip(clips, batch, strict=True):
        try:
            taken.view.write(out)
        except Exception as exc:  # a view's defect is its own request's affair
            unreadable.append((taken.submission, exc))
    return unreadable


def _fail(submissions: list[Submission[Any]], exc: BaseException) -> None:
    wanted = {id(submission): submission for submission in submissions if not submission.over}
    if not wanted:
        return
    if isinstance(exc, Unavailable):  # a state, not a defect: one line a batch, no traceback
        _LOG.warning("a batch failed: %s", exc)
    else:
        _LOG.error("a batch failed", exc_info=exc)
    error = exc if isinstance(exc, LapsError) else InternalError("inference failed")
    for submission in wanted.values():
        submission.fail(error if isinstance(exc, Exception) else ShuttingDown())


def _request_ids(batch: _Batch) -> tuple[str, ...]:
    return tuple(taken.submission.request_id for taken in batch)


def _latest_deadline(batch: _Batch) -> float | None:
    """The last point at which anybody wants a batch's result; None where somebody has no deadline."""
    deadlines = [taken.submission.deadline for taken in batch]
    return None if None in deadlines else max(deadline for deadline in deadlines if deadline is not None)
