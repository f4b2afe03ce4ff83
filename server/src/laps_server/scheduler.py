"""View-level continuous batching: views of all requests wait in one line, and every call takes what is there.

::

    request A  [a0 a1 a2 a3 a4]  ─┐   round robin     ┌─ call 1: a0 b0 a1 b1
    request B  [b0 b1]           ─┴──────────────────►├─ call 2: a2 a3
                                                      └─ call 3: a4

A call never waits for more views to arrive. Views are taken in turn from the requests that have any, so a request
of one view is not stuck behind one of thirty. Batch sizes come from a small fixed set. The scheduler knows an
:class:`~laps_server.engines.base.Engine` and nothing else: what a view is, is its source's affair.

An engine may take several calls at once, and may be able to take one back: then a call whose requests are all gone
is cancelled.

Every submission ends: with all its results, with the error of a call that held one of its views, with
``ShuttingDown``, or by being cancelled, after which none of its waiting views is run.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from laps_server.clips import Float32Array, UInt8Array
from laps_server.engines.base import Engine
from laps_server.errors import InternalError, LapsError, Overloaded, ShuttingDown, Unavailable

_LOG = logging.getLogger(__name__)


class ViewSource(Protocol):
    """Somewhere to get the pixels of a request's views when their turn comes."""

    def __len__(self) -> int:
        """Number of views."""
        ...

    def write(self, view: int, out: UInt8Array) -> None:
        """Put the clip of view number ``view`` into ``out`` ``[T, H, W, 3]``; runs in a worker thread."""
        ...


@dataclass(frozen=True, slots=True)
class ViewResult:
    """One view's logits, ``[T, K]`` or ``[K]``, and what it cost: its wait, and its share of a call's time."""

    view: int
    logits: Float32Array
    queued_s: float
    infer_s: float


class Submission:
    """The views of one request on their way; see :meth:`results`."""

    def __init__(self, source: ViewSource, on_cancel: asyncio.Event, *, deadline: float | None) -> None:
        self.source = source
        self.deadline = deadline
        self.over = False  # nobody waits for results any more
        self._submitted = time.monotonic()
        self._waiting = deque(range(len(source)))
        self._results: asyncio.Queue[ViewResult | Exception] = asyncio.Queue()
        self._changed = on_cancel

    @property
    def waiting(self) -> int:
        """Views that have not been taken into a call."""
        return len(self._waiting)

    def take(self) -> int:
        """The next view to run."""
        return self._waiting.popleft()

    def deliver(self, view: int, logits: Float32Array, *, started: float, infer_s: float) -> None:
        """Hand one view's result to whoever iterates."""
        self._results.put_nowait(ViewResult(view, logits, started - self._submitted, infer_s))

    def fail(self, error: Exception) -> None:
        """End with ``error``; waiting views are dropped."""
        self.over = True
        self._waiting.clear()
        self._results.put_nowait(error)

    def cancel(self) -> None:
        """Drop the waiting views; the result of a call that already runs is thrown away."""
        self.over = True
        self._waiting.clear()
        self._changed.set()

    async def results(self) -> AsyncGenerator[ViewResult, None]:
        """Yield each view's result in order of completion; closing this early cancels the rest."""
        try:
            for _ in range(len(self.source)):
                result = await self._results.get()
                if isinstance(result, Exception):
                    raise result
                yield result
        finally:
            self.cancel()


_Batch = list[tuple[Submission, int]]


class Scheduler:
    """Forms batches for one engine from the views of all requests."""

    def __init__(self, engine: Engine, *, batch_sizes: tuple[int, ...], max_queued_views: int) -> None:
        self._engine = engine
        self._batch_sizes = tuple(sorted(batch_sizes))
        self._max_queued_views = max_queued_views
        self._line: deque[Submission] = deque()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._calls: dict[asyncio.Task[None], _Batch] = {}
        self._closed = False

    @property
    def engine(self) -> Engine:
        """What runs the batches."""
        return self._engine

    @property
    def queued_views(self) -> int:
        """Views that wait, of all requests."""
        return sum(submission.waiting for submission in self._line)

    async def start(self) -> None:
        """Start the engine, warm every batch size, then begin to take views."""
        await self._engine.start(self._batch_sizes)
        self._task = asyncio.create_task(self._run(), name="scheduler")

    async def close(self) -> None:
        """End the calls in flight and every submission, then close the engine."""
        self._closed = True
        self._changed.set()
        if self._task is not None:
            await self._task
        await self._engine.close()

    def submit(self, source: ViewSource, *, deadline: float | None = None, goes_on: bool = False) -> Submission:
        """Put a request's views in line; the engine is told of the deadline, whoever waits has to keep it.

        Args:
            source: the views.
            deadline: a point of ``time.monotonic()``.
            goes_on: whether views of the same request were in line before, and the limit was kept for those.

        Raises:
            Overloaded: when the line would grow past its limit; never of a request that goes on.
            ShuttingDown: after ``close``.
        """
        if self._closed:
            raise ShuttingDown()
        # The limit is there to turn newcomers away early, not to end what was begun. Those who go on cannot make the
        # line grow without bound: each has one segment's views in it at most, and the front bounds how many there
        # are. A waiting view is a number; the pictures behind it are the request's, which holds them in line or not.
        if not goes_on and self.queued_views + len(source) > self._max_queued_views:
            raise Overloaded(
                f"{self.queued_views} views wait and this request adds {len(source)}, "
                f"more than the limit of {self._max_queued_views}",
                hint="try again later, or ask for fewer views, as in views=1x1",
            )
        submission = Submission(source, self._changed, deadline=deadline)
        self._line.append(submission)
        self._changed.set()
        return submission

    async def _run(self) -> None:
        info = self._engine.info
        try:
            while not self._closed:
                self._changed.clear()
                if info.cancellable:
                    self._cancel_calls(lambda batch: all(submission.over for submission, _ in batch))
                batch = self._take_batch() if len(self._calls) < info.calls_at_once else []
                if batch:
                    call = asyncio.create_task(self._run_batch(batch), name="call")
                    self._calls[call] = batch
                    call.add_done_callback(self._call_ended)
                else:
                    await self._changed.wait()
        finally:  # however the loop ends, nobody is left waiting and nobody new is let in
            self._closed = True
            if info.cancellable:
                self._cancel_calls(lambda _: True)
            await asyncio.gather(*self._calls, return_exceptions=True)
            for submission in self._line:
                submission.fail(ShuttingDown())
            self._line.clear()

    def _cancel_calls(self, unwanted: Callable[[_Batch], bool]) -> None:
        for call, batch in self._calls.items():
            if unwanted(batch) and not call.cancelling():
                call.cancel()

    def _call_ended(self, call: asyncio.Task[None]) -> None:
        del self._calls[call]
        if call.cancelled() and not call.cancelling():  # by the engine, which ends what it cannot go on with
            self._closed = True
        self._changed.set()

    def _take_batch(self) -> _Batch:
        self._line = deque(submission for submission in self._line if submission.waiting)
        if not self._line:
            return []
        available = self.queued_views
        batch = []
        for _ in range(max(size for size in self._batch_sizes if size <= available)):
            submission = self._line.popleft()
            batch.append((submission, submission.take()))
            if submission.waiting:
                self._line.append(submission)
        return batch

    async def _run_batch(self, batch: _Batch) -> None:
        started = time.monotonic()
        try:
            clips, unreadable = await asyncio.to_thread(self._assemble, batch)
            for submission, exc in unreadable:
                self._fail([submission], exc)
            broken = {id(submission) for submission, _ in unreadable}
            rows = [place for place, (submission, _) in enumerate(batch) if id(submission) not in broken]
            if not rows:
                return
            batch = [batch[place] for place in rows]
            logits = await self._engine.infer(clips[rows] if broken else clips, deadline=_latest_deadline(batch))
            expected = (len(batch), *self._engine.info.output_shape)
            if logits.shape != expected:
                raise InternalError(f"the engine returned logits {logits.shape}, expected {expected}")
        except BaseException as exc:
            # Whatever a call raises fails its own submissions and never the loop; a cancellation ends them.
            self._fail([submission for submission, _ in batch if not submission.over], exc)
            if not isinstance(exc, Exception):
                raise
            return
        share = (time.monotonic() - started) / len(batch)
        for (submission, view), row in zip(batch, logits, strict=True):
            if np.isfinite(row).all():
                submission.deliver(view, row, started=started, infer_s=share)
            else:
                self._fail([submission], InternalError("the engine returned logits that are not finite"))

    def _fail(self, submissions: list[Submission], exc: BaseException) -> None:
        if not submissions:
            return
        if isinstance(exc, Unavailable):  # a state, not a defect: one line a call, no traceback
            _LOG.warning("%d views failed: %s", len(submissions), exc)
        else:
            _LOG.error("%d views failed", len(submissions), exc_info=exc)
        error = exc if isinstance(exc, LapsError) else InternalError("inference failed")
        for submission in submissions:
            submission.fail(error if isinstance(exc, Exception) else ShuttingDown())

    def _assemble(self, batch: _Batch) -> tuple[UInt8Array, list[tuple[Submission, Exception]]]:
        """The batch's pixels, and the submissions whose source could not give theirs."""
        clips = np.empty((len(batch), *self._engine.info.clip_shape), np.uint8)
        unreadable: list[tuple[Submission, Exception]] = []
        for out, (submission, view) in zip(clips, batch, strict=True):
            try:
                submission.source.write(view, out)
            except Exception as exc:  # a source's defect is its own request's affair
                unreadable.append((submission, exc))
        return clips, unreadable


def _latest_deadline(batch: _Batch) -> float | None:
    """The last point at which anybody wants a call's result; None where somebody has no deadline."""
    latest = float("-inf")
    for submission, _ in batch:
        if submission.deadline is None:
            return None
        latest = max(latest, submission.deadline)
    return latest
