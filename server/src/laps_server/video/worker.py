"""Where decoding runs: off the event loop, a bounded number of videos at a time, and stoppable.

Each job owns a duplicate of the upload's descriptor, so the request may go away, and close its own, while a
decoder is still inside a packet.
"""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor

from laps_server.errors import ClientClosed, ShuttingDown
from laps_server.video.extract import Extraction, ExtractOptions, extract_views


class DecodePool:
    """Runs :func:`~laps_server.video.extract.extract_views` in threads."""

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
        if self._executor is None or self._closed.is_set():
            raise ShuttingDown()
        stop = threading.Event()
        descriptor = os.dup(file)
        job = self._executor.submit(extract_views, descriptor, options, should_stop=stop.is_set)
        job.add_done_callback(lambda _: os.close(descriptor))
        self._running.add(stop)
        try:
            return await asyncio.wrap_future(job)
        except (asyncio.CancelledError, ClientClosed):
            stop.set()
            task = asyncio.current_task()
            if self._closed.is_set() and not (task and task.cancelling()):
                raise ShuttingDown() from None
            raise
        finally:
            self._running.discard(stop)

    def close(self) -> None:
        """Tell running jobs to stop, drop the waiting ones, and end the threads."""
        self._closed.set()
        for stop in self._running:
            stop.set()
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)
