"""Where decoding runs: off the event loop, a bounded number of videos at a time, and stoppable.

Each job owns a duplicate of the upload's descriptor, so the request may go away, and close its own, while a
decoder is still inside a packet. A video that is taken segment by segment waits for a thread before each of them, so
that a film does not hold up a clip.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

from laps_server.clips import SegmentLength
from laps_server.errors import ClientClosed, ShuttingDown
from laps_server.video.extract import (
    Extraction,
    ExtractOptions,
    SegmentExtraction,
    SegmentsEnd,
    extract_segments,
    extract_views,
)

T = TypeVar("T")


class _Job:
    """One video on its way: a descriptor of its own, the word to stop, and the call that runs or ran last.

    ``ends`` frees what the job owns, once no call is inside the decoder any more.
    """

    def __init__(self, file: int) -> None:
        self.descriptor = os.dup(file)
        self.ends = ExitStack()
        self.ends.callback(os.close, self.descriptor)
        self.stop = threading.Event()
        self.call: Future[Any] | None = None


class DecodePool:
    """Runs :mod:`laps_server.video.extract` in threads."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._executor: ThreadPoolExecutor | None = None
        self._running: set[threading.Event] = set()
        self._closed = threading.Event()

    def start(self) -> None:
        """Make the threads."""
        self._executor = ThreadPoolExecutor(self._workers, thread_name_prefix="decode")

    async def extract(self, file: int, options: ExtractOptions) -> Extraction:
        """Extract in a thread; cancelling this tells the thread to stop at its next packet and does not wait.

        Raises:
            MediaError: what :func:`~laps_server.video.extract.extract_views` raises.
            ShuttingDown: the pool was closed first.
        """
        with self._job(file) as job:
            return await self._call(job, lambda: extract_views(job.descriptor, options, should_stop=job.stop.is_set))

    async def extract_segments(
        self, file: int, options: ExtractOptions, length: SegmentLength
    ) -> AsyncGenerator[SegmentExtraction | SegmentsEnd, None]:
        """Extract in threads, each segment when it is asked for; leaving early is as cancelling :meth:`extract`.

        Raises:
            MediaError, BadParameter: what :func:`~laps_server.video.extract.extract_segments` raises.
            ShuttingDown: the pool was closed first.
        """
        with self._job(file) as job:
            steps = extract_segments(job.descriptor, options, length, should_stop=job.stop.is_set)
            job.ends.callback(steps.close)
            while (step := await self._call(job, lambda: next(steps, None))) is not None:
                yield step

    @contextmanager
    def _job(self, file: int) -> Iterator[_Job]:
        if self._executor is None or self._closed.is_set():
            raise ShuttingDown()
        job = _Job(file)
        self._running.add(job.stop)
        try:
            yield job
        finally:
            job.stop.set()
            self._running.discard(job.stop)
            if job.call is None:
                job.ends.close()
            else:
                job.call.add_done_callback(lambda _: job.ends.close())

    async def _call(self, job: _Job, function: Callable[[], T]) -> T:
        if self._executor is None or self._closed.is_set():
            raise ShuttingDown()
        try:
            call = job.call = self._executor.submit(function)
        except RuntimeError as exc:  # it was shut down a moment ago
            raise ShuttingDown() from exc
        try:
            return await asyncio.wrap_future(call)
        except (asyncio.CancelledError, ClientClosed):
            job.stop.set()
            task = asyncio.current_task()
            if self._closed.is_set() and not (task and task.cancelling()):
                raise ShuttingDown() from None
            raise

    def close(self) -> None:
        """Tell running jobs to stop, drop the waiting ones, and end the threads."""
        self._closed.set()
        for stop in self._running:
            stop.set()
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)
