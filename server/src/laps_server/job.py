"""One uploaded video on its way, from an open descriptor to its answer.

Two tasks and one inbox. The feeder decodes, Part by Part, and puts the views of each into the scheduler's queue. Their
results arrive in the inbox, in order, and :meth:`Job.events` turns them into events::

    decode_pool.parts ──► feeder ──► submission.add ──► scheduler
                            │ backlog: room for the next    │
                            ▼                               ▼
                          inbox ◄─────────────────── views' results
                            ▼
                          events ──► accumulator ──► Decoded, Partial | SegmentDone, …, Classification

Views of a segment run while later ones are decoded. While one segment is classified the next one is decoded, and no
more. Its views are queued once the segment before is answered and that answer has been read.

No web import: the HTTP front, the command line and tests all stand on this.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial

from laps_server.answer_memory import AnswerShare
from laps_server.classify_options import ClassifyOptions
from laps_server.deadline import HINT_SEGMENTS, HINT_WORK, within
from laps_server.errors import BadParameter, ClientClosed, InternalError, LapsError
from laps_server.events import Classification, Decoded, Event, Partial, SegmentDone
from laps_server.observe import Answered, Failed, Observer, PartDecoded, Received, RequestClock, Stage, Waited, now
from laps_server.part import MediaWarning, Part
from laps_server.results import Accumulator, LogitsSink, model_warnings
from laps_server.scheduler import Reservation, Submission, View, ViewResult
from laps_server.served_models import ServedModel
from laps_server.video.decoders import Decoders
from laps_server.video.extract_options import WHOLE_VIDEO_S, ExtractOptions, Thumbnails
from laps_server.video.limits import MEMORY_SHARES
from laps_server.video.preprocess import assemble_clip
from laps_server.view_grid import ViewGrid
from laps_server.view_options import view_options


def check_options(options: ClassifyOptions) -> None:
    """Refuse options that do not go together, whatever the model.

    Raises:
        BadParameter: saying what would.
    """
    if options.segments is not None and options.view_details:
        raise BadParameter(
            "view_details (or explain, its old name) is not given for segments",
            hint="ask for those of one segment's file",
        )


@dataclass(frozen=True, slots=True)
class Job:
    """A request that was resolved: its model version is leased, its options are checked, its clock runs.

    Made by :meth:`laps_server.runtime.Runtime.job`, and good for one video while that context lasts. In the
    ``background`` nobody waits for its answer. ``on_answer`` is called with the video and its answer, which is complete
    then; it must not raise.
    """

    model: ServedModel
    grid: ViewGrid
    options: ClassifyOptions
    clock: RequestClock
    decode_pool: Decoders
    observer: Observer
    reservation: Reservation
    answer: AnswerShare
    background: bool = False
    on_answer: Callable[[int, Classification], None] | None = None

    @property
    def request_id(self) -> str:
        """Its id in logs and for observers."""
        return self.clock.request_id

    def received(self, size_bytes: int) -> None:
        """Report that the whole upload is here."""
        self.observe(Received(self.model.ref, self.request_id, self.clock.elapsed_s, size_bytes))

    def leave(self) -> None:
        """Report that the client left, unless an end was reported: an upload broke off, or a stream never began."""
        if not self.clock.ended:
            self.observe(Failed(self.model.ref, self.request_id, self.clock.elapsed_s, ClientClosed.code))

    async def classify(self, file: int, *, sink: LogitsSink | None = None) -> Classification:
        """Classify the video behind an open descriptor; see :meth:`events` for the arguments and what it raises."""
        async with aclosing(self.events(file, partials=False, sink=sink)) as events:
            async for event in events:
                if isinstance(event, Classification):
                    return event
        raise InternalError("a request ended without an answer")

    async def events(
        self, file: int, *, partials: bool = True, sink: LogitsSink | None = None
    ) -> AsyncGenerator[Event, None]:
        """Yield :class:`Decoded`, a :class:`Partial` for every view, and last the :class:`Classification`.

        With segments, there is a :class:`SegmentDone` for each segment and none for views.
        Closing the generator early stops the work at its next stage and takes waiting views out of the queue.

        Args:
            file: open, seekable descriptor of the video; stays the caller's.
            partials: whether they are read; ranking all labels for every view is not free.
            sink: gets the logits of each segment's views.

        Raises:
            BadParameter: the video has too many segments.
            MediaError: the file is wrong.
            Unavailable: overload, shutdown, or a deadline that passed.
        """
        accumulator = Accumulator(self.model.files, self.grid, self.options, engine=self.model.engine_info, sink=sink)
        feeder = _Feeder(self, file, accumulator, early=partials and not self._by_segments)
        with self._end_reported(accumulator):
            async with feeder.running():
                while (item := await feeder.next()) is not None:
                    if isinstance(item, Decoded):
                        yield item
                        continue
                    event = await self._added(accumulator, item, partials=partials)
                    if event is not None:
                        yield event
                    # Only now: the next segment waits until this one's answer has been read.
                    feeder.backlog.remove(item.tag)
            answer = await asyncio.to_thread(accumulator.answer, self.clock.times, feeder.warnings)
        if self.on_answer is not None:
            self.on_answer(file, answer)
        yield answer if self._by_segments else answer.as_one()

    async def _added(self, accumulator: Accumulator, result: ViewResult[_Tag], *, partials: bool) -> Event | None:
        """Take one view's result; the event that it makes, if any."""
        accumulator.add(result.tag.view, result.logits, result.embedding)
        done = accumulator.views_done
        event: Event | None = None
        if partials and not self._by_segments:
            event = Partial(done, self.grid.total, accumulator.ranking_so_far())
        if accumulator.segment_complete:
            answer = await asyncio.to_thread(accumulator.close_segment)
            if self._by_segments:
                event = SegmentDone(result.tag.ordinal + 1, result.tag.segments_total, answer)
        return event

    @property
    def _by_segments(self) -> bool:
        return self.options.segments is not None

    def extract_options(self, *, early: bool) -> ExtractOptions:
        """What the model and the request need of the video; ``early`` where each view is an event."""
        segments = self.options.segments
        # One frame stands for a segment: all frames of a long video would be too much to send.
        thumbnails: Thumbnails = "all" if segments is None else "middle"
        return view_options(
            self.model.files.manifest,
            self.grid,
            thumbnails=thumbnails if self.options.thumbnails else "none",
            window_s=WHOLE_VIDEO_S if segments is None else segments.seconds,
            early=early,
        )

    def warnings(self, found: Iterable[MediaWarning]) -> tuple[str, ...]:
        """Warnings about the video and the model; those about one segment are in that segment's answer."""
        about = [warning for warning in found if warning.scope == "video" or not self._by_segments]
        texts = (item.text if item.scope == "video" else f"the video {item.text}" for item in about)
        return (*texts, *model_warnings(self.model.files))

    @property
    def hint_too_late(self) -> str:
        """What to change to be in time."""
        return HINT_WORK if self.options.segments is None else HINT_SEGMENTS

    def observe(self, stage: Stage) -> None:
        """Report a stage to the request's clock and to the observer."""
        self.clock.observe(stage)
        self.observer.observe(stage)

    @contextmanager
    def _end_reported(self, accumulator: Accumulator) -> Iterator[None]:
        """Report how it ended."""
        try:
            yield
        except BaseException as exc:
            ended = InternalError.code if isinstance(exc, Exception) else ClientClosed.code
            code = exc.code if isinstance(exc, LapsError) else ended
            self.observe(Failed(self.model.ref, self.request_id, self.clock.elapsed_s, code))
            raise
        self.observe(
            Answered(
                model=self.model.ref,
                request_id=self.request_id,
                seconds=self.clock.elapsed_s,
                video_s=accumulator.video_s,
                decode_s=self.clock.decode_s,
            )
        )


@dataclass(frozen=True, slots=True)
class _Tag:
    """Which view a result is of. ``attempt`` counts the starts of a segment, so that void results are known."""

    ordinal: int
    segments_total: int
    attempt: int
    view: int


class _Feeder:
    """Decodes a job's video and submits its views to the scheduler; :meth:`next` gives what comes of it."""

    def __init__(self, job: Job, file: int, accumulator: Accumulator, *, early: bool) -> None:
        self._job = job
        self._file = file
        self._accumulator = accumulator
        self._options = job.extract_options(early=early)
        self._inbox: asyncio.Queue[Decoded | ViewResult[_Tag] | Exception | None] = asyncio.Queue()
        self._submission: Submission[_Tag] | None = None
        self._attempt = 0
        self._wait_s = 0.0  # of the newest Part, for a thread
        self._last: tuple[int, bool] = (-1, False)  # the last Part's segment, and whether it ended the video
        self._ended = False
        self._found: tuple[MediaWarning, ...] = ()
        # The other share is the decoder's.
        self.backlog = _Backlog(job.decode_pool.limits.max_kept_bytes // MEMORY_SHARES)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run while the context lasts; leaving early stops the decoder and takes waiting views out of the queue."""
        feeding = asyncio.create_task(self._run(), name="feeder")
        try:
            yield
        finally:
            if self._submission is not None:
                self._submission.stop()
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)

    async def next(self) -> Decoded | ViewResult[_Tag] | None:
        """What happened next; None once every view is answered and the video is at its end.

        Raises:
            MediaError, BadParameter: the file is wrong.
            Unavailable: overload, shutdown, or a deadline that passed.
        """
        while not (self._ended and self.backlog.is_empty):
            async with within(self._job.options.deadline, hint=self._job.hint_too_late):
                item = await self._inbox.get()
            if isinstance(item, Exception):
                raise item
            if item is None:
                self._ended = True
            elif isinstance(item, Decoded) or item.tag in self.backlog:  # else its clips became void
                return item
        return None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the answer says, once the video is at its end."""
        found = list(self._found)
        if not self._last[1]:
            found.append(MediaWarning("video", "the rest of the video could not be decoded"))
        return self._job.warnings(found)

    def _waited(self, seconds: float) -> None:
        self._wait_s = seconds
        self._job.observe(Waited(self._job.model.ref, self._job.request_id, seconds))

    async def _run(self) -> None:
        try:
            decoding = self._job.decode_pool.parts(
                self._file,
                self._options,
                deadline=self._job.options.deadline,
                urgent=self._job.options.deadline_named,
                view_cost=self._job.model.decode_view,
                waited=self._waited,
            )
            async with aclosing(decoding) as parts:
                while True:
                    began = now()
                    part = await anext(parts, None)
                    if part is None:
                        break
                    self._job.observe(
                        PartDecoded(
                            model=self._job.model.ref,
                            request_id=self._job.request_id,
                            seconds=now() - began - self._wait_s,
                            frames=len(part.frames),
                            views=len(part.views),
                        )
                    )
                    await self._feed(part)
                    del part  # or its frames would be held while the next ones are decoded
        except Exception as exc:  # raised by :meth:`next`
            self._inbox.put_nowait(exc)
        else:
            self._inbox.put_nowait(None)

    async def _feed(self, part: Part) -> None:
        if part.begins_segment:
            self._attempt += 1
            if part.ordinal == self._last[0]:
                self._withdraw()
        await self.backlog.wait_for_room(part)
        if part.begins_segment:
            self._job.answer.need(self._accumulator.check_size(part.segments_total))
        submission = self._submission or self._begin(part)
        self._accumulator.expect(part)
        self._found = part.warnings
        self._last = part.ordinal, part.ends_video
        tags = [
            _Tag(ordinal=part.ordinal, segments_total=part.segments_total, attempt=self._attempt, view=view)
            for view in part.views
        ]
        self.backlog.add(tags, part.size_bytes)
        submission.add(View(tag, partial(assemble_clip, part, tag.view)) for tag in tags)

    def _begin(self, part: Part) -> Submission[_Tag]:
        job = self._job
        total = None if job.options.segments is None else part.segments_total
        views = job.grid.total * part.segments_total
        warnings = job.warnings(part.warnings)
        self._inbox.put_nowait(Decoded(video=part.video, views_total=views, segments_total=total, warnings=warnings))
        job.reservation.release()
        self._submission = job.model.scheduler.submit(
            self._inbox.put_nowait,
            announced=job.grid.total,
            deadline=job.options.deadline,
            urgent=job.options.deadline_named,
            request_id=job.request_id,
            observer=job.clock,
            background=job.background,
        )
        return self._submission

    def _withdraw(self) -> None:
        """The segment begins again: its results so far are void."""
        if self._submission is not None:
            self._submission.withdraw()
        self.backlog.clear()


class _Backlog:
    """Queued views without an answer, and the bytes of frames that each of them holds."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._held: dict[Hashable, float] = {}
        self._changed = asyncio.Event()

    def __contains__(self, tag: Hashable) -> bool:
        return tag in self._held

    @property
    def is_empty(self) -> bool:
        """Whether every view is answered."""
        return not self._held

    async def wait_for_room(self, part: Part) -> None:
        """Wait until the segment before is answered, and there is room for the frames of ``part``."""
        while self._held and (part.begins_segment or sum(self._held.values()) + part.size_bytes > self._max_bytes):
            self._changed.clear()
            await self._changed.wait()

    def add(self, tags: Sequence[Hashable], size_bytes: int) -> None:
        """Views that share the frames of one Part."""
        self._held.update((tag, size_bytes / len(tags)) for tag in tags)

    def remove(self, tag: Hashable) -> None:
        """A view is answered; nothing where it became void meanwhile."""
        self._held.pop(tag, None)
        self._changed.set()

    def clear(self) -> None:
        """All of them became void."""
        self._held.clear()
        self._changed.set()
