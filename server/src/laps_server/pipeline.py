"""One request's way: decode and sample, schedule its views, aggregate what comes back.

:meth:`Pipeline.events` yields what is known as soon as it is known (the video's facts, then one event for every
view that finishes, then the whole answer); :meth:`Pipeline.classify` is the same way without the stops. No web
import: the HTTP front, the command line and tests all stand on this.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

import numpy as np

from laps_server.aggregate import Float64Array, clip_logits, frame_logits, probabilities, rank, video_logits
from laps_server.clips import (
    Float32Array,
    FrameBatch,
    FrameScores,
    ScoredLabel,
    UInt8Array,
    ViewGrid,
)
from laps_server.deadline import within
from laps_server.errors import (
    BadParameter,
    ModelNotFound,
    NotReady,
    ShuttingDown,
    VersionNotFound,
)
from laps_server.events import (
    DEFAULT_TOP_K,
    Classification,
    ClassifyOptions,
    Decoded,
    Event,
    Partial,
    ReplayView,
    StageTimes,
)
from laps_server.repository import ModelFiles
from laps_server.scheduler import Scheduler
from laps_server.video.extract import Extraction, ExtractOptions, MediaLimits
from laps_server.video.preprocess import assemble_clip, view_boxes
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
    ) -> None:
        self._models = models
        self._decode_pool = decode_pool
        self._default_model = default_model
        self._decode_threads = decode_threads
        self._limits = limits
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
        """End everything; requests still in flight get ``ShuttingDown``."""
        self._draining = True
        for model in self._models:
            await model.scheduler.close()
        await asyncio.to_thread(self._decode_pool.close)

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
        """
        model = self.find(options.model, options.version)
        classes = len(model.files.labels)
        if options.top_k is not None and not 1 <= options.top_k <= classes:
            raise BadParameter(
                f"top_k {options.top_k} is out of range",
                hint=f"model {model.files.name!r} takes 1 to {classes}",
            )
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
        began = time.monotonic()
        async with within(options.deadline):
            extraction = await self._decode_pool.extract(file, self._extract_options(model, grid, options))
        decode_s = time.monotonic() - began
        warnings = extraction.warnings + _model_warnings(model)
        yield Decoded(extraction.info, grid.total, warnings)

        views = _Views(extraction.batch)
        submission = model.scheduler.submit(views)
        rows: dict[int, Float32Array] = {}
        running_sum = np.zeros(len(model.files.labels))  # [K], so that a running ranking costs the same for each view
        queue_s, infer_s = float("inf"), 0.0
        async with aclosing(submission.results()) as results:
            while len(rows) < len(views):
                async with within(options.deadline):
                    result = await anext(results)
                rows[result.view] = result.logits
                queue_s = min(queue_s, result.queued_s)
                infer_s += result.infer_s
                if partials:
                    running_sum += clip_logits(result.logits[None])[0]
                    yield Partial(len(rows), len(views), _ranking(model, running_sum / len(rows), options.top_k))

        view_logits = np.stack([rows[view] for view in range(len(views))])
        yield await asyncio.to_thread(
            _answer,
            model=model,
            grid=grid,
            extraction=extraction,
            options=options,
            view_logits=view_logits,
            warnings=warnings,
            times=StageTimes(decode_s, queue_s, infer_s),
        )

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


def _model_warnings(model: ServedModel) -> tuple[str, ...]:
    if model.files.manifest.untrained:
        return (f"model {model.files.name!r} is untrained: its weights are random and its labels mean nothing",)
    return ()


def _ranking(model: ServedModel, logits: Float64Array, top_k: int | None) -> tuple[ScoredLabel, ...]:
    manifest = model.files.manifest
    scores = probabilities(logits, activation=manifest.activation, temperature=manifest.temperature)
    return rank(scores, model.files.labels, top_k or DEFAULT_TOP_K)


def _answer(
    *,
    model: ServedModel,
    grid: ViewGrid,
    extraction: Extraction,
    options: ClassifyOptions,
    view_logits: Float32Array,
    warnings: tuple[str, ...],
    times: StageTimes,
) -> Classification:
    logits = video_logits(view_logits)
    predictions = _ranking(model, logits, options.top_k)
    wants_frames = options.frames and model.files.manifest.output.kind == "per_frame"
    return Classification(
        model=model.files.name,
        version=model.files.version,
        predictions=predictions,
        frames=_frame_scores(model, extraction.batch, view_logits, predictions) if wants_frames else None,
        grid=grid,
        views_used=len(view_logits),
        video=extraction.info,
        times=times,
        warnings=warnings,
        sampled=extraction.batch.frames,
        thumbnails=extraction.thumbnails,
        replay=_replay(extraction.batch) if options.explain else (),
        logits=logits.astype(np.float32),
        view_logits=view_logits,
    )


def _frame_scores(
    model: ServedModel, batch: FrameBatch, view_logits: Float32Array, predictions: tuple[ScoredLabel, ...]
) -> FrameScores:
    manifest = model.files.manifest
    logits = frame_logits(
        view_logits, batch.clip_frames, spatial_views=batch.grid.spatial, frame_count=len(batch.frames)
    )
    scores = probabilities(logits, activation=manifest.activation, temperature=manifest.temperature)  # [F, K]
    columns = [prediction.index for prediction in predictions]
    return FrameScores(
        frames=batch.frames,
        labels=tuple(prediction.label for prediction in predictions),
        scores=scores[:, columns].astype(np.float32),
    )


def _replay(batch: FrameBatch) -> tuple[ReplayView, ...]:
    return tuple(
        ReplayView(
            temporal=view // batch.grid.spatial,
            spatial=view % batch.grid.spatial,
            frames=tuple(batch.frames[place] for place in batch.clip_frames[view // batch.grid.spatial]),
            boxes=tuple(view_boxes(batch, view)),
        )
        for view in range(batch.grid.total)
    )
