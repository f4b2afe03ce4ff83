"""Where decoding runs by default: in confined processes, one video in each at a time.

As many videos are decoded at once as there are cores to spare for it; each waits for its turn before each of its Parts,
as in :mod:`laps_server.video.decode_pool`. But a video keeps its worker from its first turn to its last Part,
so that no two share a process: those that wait for their first turn have none, and as many idle ones are kept as are
decoded at once.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from dataclasses import dataclass

from laps_server.errors import BadParameter, DecoderCrashed, InternalError, ShuttingDown
from laps_server.moving_average import MovingAverage
from laps_server.observe import DecoderEnd, DecoderEnded, DecoderStarted, NoObserver, Observer, now
from laps_server.part import Part
from laps_server.video.decoder_turns import DecoderTurns
from laps_server.video.decoders import nobody
from laps_server.video.extract_options import ExtractOptions
from laps_server.video.limits import MediaLimits
from laps_server.video.sandbox.options import SandboxOptions
from laps_server.video.sandbox.processes import Worker, WorkerLost, Zygote
from laps_server.video.sandbox.wire import DecodeJob

_LOG = logging.getLogger(__name__)
_ATTEMPTS = 2
_STOP_S = 0.2  # for a worker to notice that nobody wants its video any more
_THUMBNAIL_BYTES = 64 * 1024 * 1024  # of one Part


@dataclass(slots=True)
class _Video:
    """What a video's worker is told, how the video takes turns, who wants to know of it, and the worker it has now."""

    job: DecodeJob
    upload: int
    deadline: float | None
    urgent: bool
    view_cost: MovingAverage | None
    waited: Callable[[float], None]
    worker: Worker | None = None


class SandboxPool:
    """Runs :func:`laps_server.video.extract.extract_parts` in workers; used as a
    :class:`laps_server.video.decode_pool.DecodePool`.
    """

    def __init__(
        self,
        workers: int,
        *,
        threads: int = 1,
        limits: MediaLimits | None = None,
        options: SandboxOptions | None = None,
        observer: Observer | None = None,
    ) -> None:
        """Nothing runs before :meth:`start`.

        Args:
            workers: videos decoded at the same time.
            threads: threads of each decoder.
            limits: what one video may cost.
            options: how workers are confined.
            observer: gets the start and end of every worker, until this is closed.
        """
        self._workers = workers
        self._threads = threads
        self._limits = limits or MediaLimits()
        self._max_bytes = self._limits.max_kept_bytes + _THUMBNAIL_BYTES
        self._options = options or SandboxOptions()
        self._observer = observer or NoObserver()
        self._turns = DecoderTurns(workers)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._zygote: Zygote | None = None
        self._renewing = asyncio.Lock()
        self._idle: list[Worker] = []
        self._busy: set[Worker] = set()
        self._videos = 0
        self._forking: set[asyncio.Task[Worker]] = set()
        self._stopping: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def waiting(self) -> int:
        """Videos that wait for a decoder."""
        return self._turns.waiting

    @property
    def videos(self) -> int:
        """Videos that are decoded or wait for it."""
        return self._videos

    @property
    def processes(self) -> int:
        """Workers that are there, with a video or without."""
        return sum(worker.runs for worker in (*self._busy, *self._idle))

    @property
    def limits(self) -> MediaLimits:
        """What one video may cost."""
        return self._limits

    async def start(self) -> None:
        """Start the process that workers are forked from, and the first workers; say how they are confined.

        Raises:
            BadParameter: a filter of system calls is required, and the kernel has none.
            InternalError: they do not start.
        """
        zygote = self._zygote = await asyncio.to_thread(Zygote, self._options)
        try:
            self._say(await asyncio.to_thread(zygote.wait_until_ready))
            for _ in range(self._workers):
                self._idle.append(await self._forked_by(zygote))
        except BaseException as exc:
            await asyncio.to_thread(self.close)
            if isinstance(exc, WorkerLost):
                hint = "LAPS_DECODE=thread decodes in the server's own process; docs/deploy.md says what is needed"
                raise InternalError(f"decoders cannot be started: {exc}", hint=hint) from exc
            raise

    def _say(self, why_no_filter: str) -> None:
        if not why_no_filter:
            _LOG.info("videos are decoded in processes of their own whose system calls are filtered")
        elif self._options.filter == "required":
            raise BadParameter(
                f"decoders' system calls cannot be filtered here: {why_no_filter}",
                hint="LAPS_DECODE_FILTER=auto does without where there is no way",
            )
        elif self._options.filter == "auto":
            _LOG.warning(
                "videos are decoded in processes of their own, but their system calls are not filtered: %s. A file "
                "that takes over a decoder could open files and connections. LAPS_DECODE_FILTER=off says that this is "
                "known",
                why_no_filter,
            )
        else:
            _LOG.info("videos are decoded in processes of their own, whose system calls are not filtered, as was asked")

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
        """See :meth:`laps_server.video.decoders.Decoders.parts`.

        If the worker is lost, another one begins again, once, and what was handed over already is left out.
        """
        if self._closed or self._zygote is None:
            raise ShuttingDown()
        self._loop = asyncio.get_running_loop()
        # With a position of its own, and only to read: a worker shall not write what others read.
        upload = os.open(f"/proc/self/fd/{file}", os.O_RDONLY | os.O_CLOEXEC)
        job = DecodeJob(options, self._limits, self._threads)
        video = _Video(job, upload, deadline, urgent, view_cost, waited)
        given = 0
        self._videos += 1
        try:
            for attempt in range(1, _ATTEMPTS + 1):
                left_out, goes_on = given, True
                try:
                    while goes_on:
                        # In a list and not under a name, so that the caller can drop it while the next is decoded.
                        found = [await self._next(video)]
                        goes_on = video.worker is not None
                        if found[0] is None:
                            break
                        if left_out:
                            left_out -= 1
                            continue
                        given += 1
                        yield found.pop()  # type: ignore[misc]  # not None
                    return
                except WorkerLost as exc:
                    if self._closed:
                        raise ShuttingDown() from exc
                    _LOG.warning("a decoder was lost at attempt %d of %d: %s", attempt, _ATTEMPTS, exc)
                finally:
                    self._part_with_worker(video)
            raise DecoderCrashed(
                "decoding the video crashed the decoder, twice", hint="convert it, with ffmpeg for instance"
            )
        finally:
            self._videos -= 1
            os.close(upload)

    async def _next(self, video: _Video) -> Part | None:
        """The next Part, in a turn. With the last one the worker is another video's: the caller may keep that long."""
        asked = now()
        await self._take(video)
        try:
            if video.worker is None:
                video.worker = await self._take_worker()
                video.worker.begin(video.job, video.upload)
            began = now()
            part = await video.worker.next_part(max_bytes=self._max_bytes)
        finally:
            self._turns.give_back()
        if video.worker.is_free:
            self._part_with_worker(video)
        if part is not None:
            video.waited(began - asked)
            if video.view_cost is not None:
                video.view_cost.learn((now() - began) / len(part.views))
        return part

    async def _take(self, video: _Video) -> None:
        try:
            await self._turns.take(deadline=video.deadline, urgent=video.urgent)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._closed and not (task and task.cancelling()):
                raise ShuttingDown() from None
            raise

    async def _take_worker(self) -> Worker:
        if self._closed or self._zygote is None:
            raise ShuttingDown()
        worker = self._idle_worker() or await self._fork(self._zygote)
        self._busy.add(worker)
        return worker

    def _idle_worker(self) -> Worker | None:
        """One that waits for a video; those that died waiting are no video's fault."""
        while self._idle:
            worker = self._idle.pop()
            if worker.runs:
                return worker
            self._end(worker, "crashed")
        return None

    def _part_with_worker(self, video: _Video) -> None:
        """Keep it for another video, now or as soon as it has stopped; or end it."""
        worker, video.worker = video.worker, None
        if worker is None:
            return
        if worker.is_free:
            self._put_back(worker)
            return
        task = asyncio.create_task(self._stop(worker), name="stop decoder")
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)

    async def _stop(self, worker: Worker) -> None:
        try:
            await worker.stop(within_s=_STOP_S)
        finally:
            self._put_back(worker)

    def _put_back(self, worker: Worker) -> None:
        self._busy.discard(worker)
        if worker.lost is not None:
            worker.kill(worker.lost)
            self._end(worker, worker.lost)
        elif worker.jobs >= self._options.jobs:
            self._end(worker, "recycled")
        elif self._closed or len(self._idle) >= self._workers:
            self._end(worker, "spare")
        else:
            self._idle.append(worker)

    def _end(self, worker: Worker, why: DecoderEnd) -> None:
        worker.close()
        if not self._closed:
            self._observer.observe(DecoderEnded(why))

    async def _fork(self, zygote: Zygote) -> Worker:
        """A new worker. It is made in a thread, which goes on when a client leaves: then it is the next video's."""
        forking = asyncio.create_task(self._forked(zygote), name="fork decoder")
        self._forking.add(forking)
        forking.add_done_callback(self._forking.discard)
        try:
            return await asyncio.shield(forking)
        except asyncio.CancelledError:
            forking.add_done_callback(self._keep)
            raise

    def _keep(self, forking: asyncio.Task[Worker]) -> None:
        if not forking.cancelled() and forking.exception() is None:
            self._put_back(forking.result())

    async def _forked(self, zygote: Zygote) -> Worker:
        """A new worker; of another zygote, if that one has gone."""
        try:
            return await self._forked_by(zygote)
        except WorkerLost as exc:
            if self._closed:
                raise ShuttingDown() from exc
        async with self._renewing:
            current = self._zygote
            if current is None or current is zygote:
                _LOG.warning("the process that decoders are forked from is gone; another one is started")
                current = self._zygote = await asyncio.to_thread(Zygote, self._options)
                await asyncio.to_thread(zygote.close)
        try:
            return await self._forked_by(current)
        except WorkerLost as exc:
            raise InternalError("no decoder could be started") from exc

    async def _forked_by(self, zygote: Zygote) -> Worker:
        worker = await asyncio.to_thread(zygote.fork)
        self._observer.observe(DecoderStarted())
        return worker

    def close(self) -> None:
        """Kill the workers, whatever they do, and end the zygote."""
        self._closed = True
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._turns.cancel)
        for worker in (*self._busy, *self._idle):
            worker.kill("unwanted")
        for worker in self._idle:
            worker.close()
        self._idle.clear()
        if self._zygote is not None:
            self._zygote.close()
