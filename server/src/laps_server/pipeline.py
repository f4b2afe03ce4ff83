"""One request's way: decode and sample, schedule its views, aggregate what comes back.

:meth:`Pipeline.events` yields what is known as soon as it is known (the video's facts, then one event for every
view or segment that finishes, then the whole answer); :meth:`Pipeline.classify` is the same way without the stops. No
web import: the HTTP front, the command line and tests all stand on this.

A video in segments takes the way once for each of them. While one is classified the next is decoded, and no further,
so that pictures of two exist at most; its views get in line when those of the one before are done. A full line refuses
nothing but the first segment: what has begun goes on::

    decode     |  0  |  1  |     |  2  |     |  3  |
    infer            |     0     |     1     |     2     |     3     |
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator
from contextlib import ExitStack, aclosing
from dataclasses import dataclass

import numpy as np

from laps_server.aggregate import clip_logits
from laps_server.answer import SegmentSum, model_warnings, ranking, whole_answer
from laps_server.clips import Float32Array, FrameBatch, SegmentLength, UInt8Array, ViewGrid
from laps_server.deadline import HINT_SEGMENTS, HINT_WORK, within
from laps_server.errors import (
    BackendUnavailable,
    BadParameter,
    ModelNotFound,
    NotReady,
    ShuttingDown,
    VersionNotFound,
)
from laps_server.events import (
    Classification,
    ClassifyOptions,
    Decoded,
    Event,
    Partial,
    SegmentDone,
    StageTimes,
)
from laps_server.repository import ModelFiles
from laps_server.scheduler import Scheduler, ViewResult
from laps_server.video.extract import ExtractOptions, MediaLimits, SegmentExtraction, SegmentsEnd
from laps_server.video.preprocess import assemble_clip
from laps_server.video.worker import DecodePool


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model version and the scheduler that runs it."""

    files: ModelFiles
    scheduler: Scheduler


class Pipeline:
    """Everything that answers a request, without a front."""

    def __init__(
        self,
        models: tuple[ServedModel, ...],
        *,
        decode_pool: DecodePool,
        default_model: str | None,
        decode_threads: int,
        limits: MediaLimits,
        resources: ExitStack | None = None,
    ) -> None:
        self._models = models
        self._decode_pool = decode_pool
        self._default_model = default_model
        self._decode_threads = decode_threads
        self._limits = limits
        self._resources = resources or ExitStack()
        self._ready = False
        self._draining = False
        self._failure: Exception | None = None
        if default_model is not None:
            self._versions_of(default_model)

    @property
    def models(self) -> tuple[ServedModel, ...]:
        """Every served version, in order of name and version."""
        return self._models

    @property
    def default_model(self) -> str:
        """The model of a request that names none."""
        return self._default_model or self._models[0].files.name

    @property
    def not_ready_reason(self) -> str | None:
        """Why no request should be sent here now, or None."""
        if self._draining:
            return "shutting down"
        if self._failure is not None:
            return "models cannot be served"
        for model in self._models:
            if (reason := model.scheduler.engine.unavailable_reason) is not None:
                return reason
        return None if self._ready else "models are loading"

    @property
    def failure(self) -> Exception | None:
        """What made :meth:`start` fail; a process with one will never be ready."""
        return self._failure

    async def start(self) -> None:
        """Load and warm every model.

        Raises:
            ModelError: a model cannot be served; nothing is half served.
        """
        self._decode_pool.start()
        try:
            for model in self._models:
                await model.scheduler.start()
        except Exception as exc:
            self._failure = exc
            raise
        self._ready = True

    def drain(self) -> None:
        """Take no new request; those in flight go on."""
        self._draining = True

    async def close(self) -> None:
        """End everything, last what it was built on; requests still in flight get ``ShuttingDown``."""
        self._draining = True
        try:
            for model in self._models:
                await model.scheduler.close()
            await asyncio.to_thread(self._decode_pool.close)
        finally:
            await asyncio.to_thread(self._resources.close)

    def admit(self) -> None:
        """Whether a new request can be taken; one that was admitted is finished, drain or not.

        Raises:
            NotReady, ShuttingDown: it cannot.
        """
        if self._draining:
            raise ShuttingDown(hint="send the request to another instance")
        self._check_ready()

    def find(self, name: str | None, version: int | None = None) -> ServedModel:
        """The served version of a model, its highest where none is named.

        Raises:
            ModelNotFound, VersionNotFound: saying what is served.
        """
        candidates = self._versions_of(name or self.default_model)
        if version is None:
            return candidates[-1]
        for model in candidates:
            if model.files.version == version:
                return model
        served = ", ".join(str(model.files.version) for model in candidates)
        raise VersionNotFound(
            f"version {version} of model {candidates[0].files.name!r} is not served",
            hint=f"served versions: {served}",
        )

    def resolve(self, options: ClassifyOptions) -> tuple[ServedModel, ViewGrid]:
        """The model and views that the options mean, checked before any upload is read.

        Raises:
            BadParameter, ModelNotFound, VersionNotFound.
            BackendUnavailable: its engine could not run it now.
        """
        model = self.find(options.model, options.version)
        classes = len(model.files.labels)
        if options.top_k is not None and not 1 <= options.top_k <= classes:
            raise BadParameter(
                f"top_k {options.top_k} is out of range",
                hint=f"model {model.files.name!r} takes 1 to {classes}",
            )
        if options.segments is not None and options.explain:
            raise BadParameter("explain is not given for segments", hint="explain one segment's file")
        if self._ready and (reason := model.scheduler.engine.unavailable_reason) is not None:
            raise BackendUnavailable(reason, hint="send the request again later")
        return model, options.views or model.files.manifest.grid

    async def classify(self, file: int, options: ClassifyOptions) -> Classification:
        """Classify the video behind an open descriptor; see :meth:`events` for what it raises."""
        async with aclosing(self.events(file, options, partials=False)) as events:
            async for event in events:
                if isinstance(event, Classification):
                    return event
        raise RuntimeError("a request ended without an answer")

    async def events(
        self, file: int, options: ClassifyOptions, *, partials: bool = True
    ) -> AsyncGenerator[Event, None]:
        """Yield :class:`Decoded`, a :class:`Partial` for every view, and last the :class:`Classification`.

        Where segments are asked for, a :class:`SegmentDone` for each of them takes the place of the views' events.
        Closing the generator early stops the work at its next stage and takes waiting views out of the line.

        Args:
            file: open, seekable descriptor of the video; stays the caller's.
            options: what is asked for.
            partials: whether anybody reads them; ranking all labels for every view is not free.

        Raises:
            BadParameter, ModelNotFound, VersionNotFound: the options are wrong.
            MediaError: the file is.
            Unavailable: overload, shutdown, or a deadline that passed.
        """
        self._check_ready()
        model, grid = self.resolve(options)
        if options.segments is None:
            events = self._whole(model, grid, file, options, partials=partials)
        else:
            events = self._in_segments(model, grid, file, options, options.segments)
        async with aclosing(events):
            async for event in events:
                yield event

    async def _whole(
        self, model: ServedModel, grid: ViewGrid, file: int, options: ClassifyOptions, *, partials: bool
    ) -> AsyncGenerator[Event, None]:
        began = time.monotonic()
        async with within(options.deadline):
            extraction = await self._decode_pool.extract(file, self._extract_options(model, grid, options))
        clock = _Clock(decode_s=time.monotonic() - began)
        warnings = extraction.warnings + model_warnings(model.files)
        yield Decoded(extraction.info, grid.total, None, warnings)

        rows: dict[int, Float32Array] = {}
        running_sum = np.zeros(len(model.files.labels))  # [K], so that a running ranking costs the same for each view
        async with aclosing(clock.noting(_results(model, extraction.batch, options.deadline))) as results:
            async for result in results:
                rows[result.view] = result.logits
                if partials:
                    running_sum += clip_logits(result.logits[None])[0]
                    so_far = ranking(model.files, running_sum / len(rows), options.top_k)
                    yield Partial(len(rows), grid.total, so_far)

        yield await asyncio.to_thread(
            whole_answer,
            model=model.files,
            grid=grid,
            extraction=extraction,
            options=options,
            view_logits=_in_order(rows),
            warnings=warnings,
            times=clock.times(),
        )

    async def _in_segments(
        self, model: ServedModel, grid: ViewGrid, file: int, options: ClassifyOptions, length: SegmentLength
    ) -> AsyncGenerator[Event, None]:
        clock, total = _Clock(), SegmentSum(model.files, grid, options)
        about_model = model_warnings(model.files)
        steps = self._decode_pool.extract_segments(file, self._extract_options(model, grid, options), length)

        async def decode_next() -> SegmentExtraction | SegmentsEnd:
            began = time.monotonic()
            async with within(options.deadline, hint=HINT_SEGMENTS):
                step = await anext(steps)
            clock.decode_s += time.monotonic() - began
            return step

        ahead = asyncio.create_task(decode_next())
        try:
            step, done = await ahead, 0
            if isinstance(step, SegmentExtraction):
                total.check_size(step.total)
                views = grid.total * step.total
                yield Decoded(step.extraction.info, views, step.total, step.video_warnings + about_model)
            while isinstance(step, SegmentExtraction):
                ahead = asyncio.create_task(decode_next())
                batch = step.extraction.batch
                results = _results(model, batch, options.deadline, goes_on=done > 0, hint=HINT_SEGMENTS)
                rows = {result.view: result.logits async for result in clock.noting(results)}
                answer = await asyncio.to_thread(total.add, step, _in_order(rows))
                done += 1
                yield SegmentDone(done, step.total, answer)
                step = await ahead
        finally:
            ahead.cancel()
            await asyncio.gather(ahead, return_exceptions=True)
            await steps.aclose()
        yield await asyncio.to_thread(total.answer, clock.times(), step.video_warnings + about_model)

    def _check_ready(self) -> None:
        if not self._ready:
            raise NotReady("models are loading", hint="wait until /readyz answers 200")

    def _versions_of(self, name: str) -> tuple[ServedModel, ...]:
        found = tuple(model for model in self._models if model.files.name == name)
        if not found:
            served = ", ".join(sorted({model.files.name for model in self._models}))
            raise ModelNotFound(f"no model {name[:100]!r} is served", hint=f"served models: {served}")
        return found

    def _extract_options(self, model: ServedModel, grid: ViewGrid, options: ClassifyOptions) -> ExtractOptions:
        clip, preprocess = model.files.manifest.clip, model.files.manifest.preprocess
        return ExtractOptions(
            grid=grid,
            frames=clip.frames,
            stride=clip.stride,
            short_side=preprocess.short_side,
            crop_height=preprocess.crop_height,
            crop_width=preprocess.crop_width,
            thumbnails=options.thumbnails,
            limits=self._limits,
            threads=self._decode_threads,
        )


class _Views:
    """The views of one video as the scheduler wants them: gathered and cropped when their turn comes."""

    def __init__(self, batch: FrameBatch) -> None:
        self._batch = batch

    def __len__(self) -> int:
        return self._batch.grid.total

    def write(self, view: int, out: UInt8Array) -> None:
        assemble_clip(self._batch, view, out)


@dataclass(slots=True)
class _Clock:
    """Collects the seconds of each stage."""

    decode_s: float = 0.0
    queue_s: float = math.inf
    infer_s: float = 0.0

    async def noting(self, results: AsyncGenerator[ViewResult, None]) -> AsyncGenerator[ViewResult, None]:
        async with aclosing(results):
            async for result in results:
                self.queue_s = min(self.queue_s, result.queued_s)
                self.infer_s += result.infer_s
                yield result

    def times(self) -> StageTimes:
        return StageTimes(self.decode_s, self.queue_s, self.infer_s)


async def _results(
    model: ServedModel, batch: FrameBatch, deadline: float | None, *, goes_on: bool = False, hint: str = HINT_WORK
) -> AsyncGenerator[ViewResult, None]:
    """Submit the views of ``batch`` and yield each one's result; closing this early takes them out of the line."""
    views = _Views(batch)
    submission = model.scheduler.submit(views, deadline=deadline, goes_on=goes_on)
    async with aclosing(submission.results()) as results:
        for _ in range(len(views)):
            async with within(deadline, hint=hint):
                result = await anext(results)
            yield result


def _in_order(rows: dict[int, Float32Array]) -> Float32Array:
    """Logits by view -> ``[V, T, K]`` or ``[V, K]``."""
    return np.stack([rows[view] for view in range(len(rows))])
