"""Where decoding runs in this process: off the event loop, a bounded number of videos at a time, and stoppable.

Each video owns a duplicate of the upload's descriptor, so the request may go away, and close its own, while a decoder
is still inside a packet. A video waits for a thread before each of its Parts, so that a long video does not hold up a
short one.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

from laps_server.errors import ClientClosed, ShuttingDown
from laps_server.part import Part
from laps_server.video.extract import extract_parts
from laps_server.video.extract_options import ExtractOptions
from laps_server.video.limits import MediaLimits

T = TypeVar("T")

_NICENESS = 10
"""What decoders are put behind the engine by, on Linux. An engine's threads wait for the slowest of them, and on cores
that are all busy that is the one whose core a decoder has: without this, I3D's clips took 2 to 8 % more processor
seconds, and camera-motion's 1 to 5."""


class _Video:
    """One video being decoded: a descriptor of its own, the event that stops it, and the step that runs or ran last.

    ``ends`` frees what it owns, once no step is inside the decoder any more.
    """

    def __init__(self, file: int) -> None:
        self.descriptor = os.dup(file)
        self.ends = ExitStack()
        self.ends.callback(os.close, self.descriptor)
        self.stop = threading.Event()
        self.step: Future[Any] | None = None


class DecodePool:
    """Runs :func:`laps_server.video.extract.extract_parts` in threads."""

    def __init__(self, workers: int, *, threads: int = 1, limits: MediaLimits | None = None) -> None:
        """Nothing runs before :meth:`start`.

        Args:
            workers: videos decoded at the same time.
            threads: threads of each decoder.
            limits: what one video may cost.
        """
        self._workers = workers
        self._threads = threads
        self._limits = limits or MediaLimits()
        self._executor: ThreadPoolExecutor | None = None
        self._running: set[threading.Event] = set()
        self._closed = threading.Event()

    @property
    def limits(self) -> MediaLimits:
        """What one video may cost."""
        return self._limits

    async def start(self) -> None:
        """Make the threads."""
        self._executor = ThreadPoolExecutor(self._workers, thread_name_prefix="decode", initializer=_step_back)

    async def parts(self, file: int, options: ExtractOptions) -> AsyncGenerator[Part, None]:
        """Decode in threads, each Part when it is asked for.

        Closing this early, or cancelling whoever waits for a Part, makes the thread stop at its next packet and
        does not wait for it.

        Raises:
            MediaError, BadParameter: what :func:`~laps_server.video.extract.extract_parts` raises.
            ShuttingDown: the pool was closed first.
        """
        with self._video(file) as video:
            steps = extract_parts(
                video.descriptor,
                options,
                limits=self._limits,
                threads=self._threads,
                should_stop=video.stop.is_set,
            )
            video.ends.callback(steps.close)
            while True:
                # In a list and not under a name, so that the caller can drop its frames while the next are decoded.
                decoded = [await self._step(video, lambda: next(steps, None))]
                if decoded[0] is None:
                    return
                yield decoded.pop()  # type: ignore[misc]  # not None

    @contextmanager
    def _video(self, file: int) -> Iterator[_Video]:
        if self._executor is None or self._closed.is_set():
            raise ShuttingDown()
        video = _Video(file)
        self._running.add(video.stop)
        try:
            yield video
        finally:
            video.stop.set()
            self._running.discard(video.stop)
            if video.step is None:
                video.ends.close()
            else:
                video.step.add_done_callback(lambda _: video.ends.close())

    async def _step(self, video: _Video, function: Callable[[], T]) -> T:
        if self._executor is None or self._closed.is_set():
            raise ShuttingDown()
        try:
            step = video.step = self._executor.submit(function)
        except RuntimeError as exc:  # it was shut down a moment ago
            raise ShuttingDown() from exc
        try:
            result: T = await asyncio.wrap_future(step)
            video.step = None  # it would hold on to the result
            return result
        except (asyncio.CancelledError, ClientClosed):
            video.stop.set()
            task = asyncio.current_task()
            if self._closed.is_set() and not (task and task.cancelling()):
                raise ShuttingDown() from None
            raise

    def close(self) -> None:
        """Stop the videos being decoded, drop the waiting ones, and end the threads."""
        self._closed.set()
        for stop in tuple(self._running):  # the loop goes on and takes some out
            stop.set()
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)


def _step_back() -> None:
    """Leave the processor to other threads of this process where both want it."""
    if sys.platform == "linux":  # elsewhere a thread has no priority of its own
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + _NICENESS)
