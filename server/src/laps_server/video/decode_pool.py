"""Where decoding runs in this process: off the event loop, a bounded number of videos at a time, and stoppable.

Each video owns a duplicate of the upload's descriptor, so the request may go away, and close its own, while a decoder
is still inside a packet. A video waits for its turn before each of its Parts, so that a long video does not hold up a
short one.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from laps_server.errors import ClientClosed, ShuttingDown
from laps_server.moving_average import MovingAverage
from laps_server.observe import now
from laps_server.part import Part
from laps_server.video.decoder_turns import DecoderTurns
from laps_server.video.decoders import nobody
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

    def __init__(self, file: int, *, deadline: float | None, urgent: bool) -> None:
        self.deadline = deadline
        self.urgent = urgent
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
        self._turns = DecoderTurns(workers)
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def waiting(self) -> int:
        """Videos that wait for a decoder."""
        return self._turns.waiting

    @property
    def videos(self) -> int:
        """Videos that are decoded or wait for it."""
        return len(self._running)

    @property
    def processes(self) -> int:
        """None."""
        return 0

    @property
    def limits(self) -> MediaLimits:
        """What one video may cost."""
        return self._limits

    async def start(self) -> None:
        """Make the threads."""
        self._executor = ThreadPoolExecutor(self._workers, thread_name_prefix="decode", initializer=_step_back)

    async def parts(
        self,
        file: int,
        options: ExtractOptions,
        *,
        deadline: float | None = None,
        urgent: bool = False,
        view_cost: MovingAverage | None = None,
        waited: Callable[[float], None] = nobody,
    ) -> AsyncGenerator[Part, None]:
        """See :meth:`laps_server.video.decoders.Decoders.parts`; a decoder stops at its next packet."""
        if self._executor is None or self._closed.is_set():
            raise ShuttingDown()
        with self._video(_Video(file, deadline=deadline, urgent=urgent)) as video:
            steps = extract_parts(
                video.descriptor,
                options,
                limits=self._limits,
                threads=self._threads,
                should_stop=video.stop.is_set,
            )
            video.ends.callback(steps.close)
            goes_on = True
            while goes_on:
                asked = now()
                turn = await self._step(video, lambda: _take_turn(steps))
                goes_on = turn.goes_on
                if turn.parts:
                    waited(turn.began - asked)
                    if view_cost is not None:
                        view_cost.learn(turn.seconds / sum(len(part.views) for part in turn.parts))
                while turn.parts:
                    # Not under a name, so that the caller can drop its frames while the next are decoded.
                    yield turn.parts.popleft()

    @contextmanager
    def _video(self, video: _Video) -> Iterator[_Video]:
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
        self._loop = asyncio.get_running_loop()
        try:
            await self._turns.take(deadline=video.deadline, urgent=video.urgent)
            try:
                step = video.step = self._executor.submit(function)
            except RuntimeError as exc:  # it was shut down a moment ago
                self._turns.give_back()
                raise ShuttingDown() from exc
            step.add_done_callback(self._turn_over)  # also where nobody waits for it any more
            result: T = await asyncio.wrap_future(step)
            video.step = None  # it would hold on to the result
            return result
        except (asyncio.CancelledError, ClientClosed):
            video.stop.set()
            task = asyncio.current_task()
            if self._closed.is_set() and not (task and task.cancelling()):
                raise ShuttingDown() from None
            raise

    def _turn_over(self, _: Future[Any]) -> None:
        """In the thread."""
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._turns.give_back)

    def close(self) -> None:
        """Stop the videos being decoded, drop the waiting ones, and end the threads."""
        self._closed.set()
        if self._loop is not None:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._turns.cancel)
        for stop in tuple(self._running):  # the loop goes on and takes some out
            stop.set()
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True, slots=True)
class _Turn:
    """What came of a turn, when it began and the seconds that it took; whether there may be more."""

    parts: deque[Part]
    goes_on: bool
    began: float
    seconds: float


def _take_turn(steps: Iterator[Part]) -> _Turn:
    """Decode one Part. Behind the one that ends the video, see that it does: that costs nothing, and a turn of its own
    would have to be waited for, behind all other videos, while the answer is as good as there.
    """
    began, parts = now(), deque[Part]()
    for part in steps:
        parts.append(part)
        if not part.ends_video:
            return _Turn(parts, True, began, now() - began)
    return _Turn(parts, False, began, now() - began)


def _step_back() -> None:
    """Leave the processor to other threads of this process where both want it."""
    if sys.platform == "linux":  # elsewhere a thread has no priority of its own
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + _NICENESS)
