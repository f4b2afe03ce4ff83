"""A runtime without a front: started, asked about files, and with an engine that a test controls."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from pathlib import Path

import numpy as np

from laps_server.answer_memory import AnswerMemory
from laps_server.arrays import Float32Array, Float64Array
from laps_server.classify_options import ClassifyOptions
from laps_server.engines.base import Engine
from laps_server.events import Classification, Event
from laps_server.models.repository import discover
from laps_server.observe import Observer
from laps_server.part import Segment
from laps_server.results import LogitsSink
from laps_server.runtime import Runtime
from laps_server.scheduler import Scheduler
from laps_server.scores import video_logits
from laps_server.served_models import ServedModel, ServedModels
from laps_server.video.decode_pool import DecodePool


class Logits:
    """A sink for the logits of each segment's views, ``[V, T, K]`` or ``[V, K]``."""

    def __init__(self) -> None:
        self.of_segments: list[Float32Array] = []

    def __call__(self, segment: Segment, view_logits: Float32Array) -> None:
        self.of_segments.append(view_logits)

    @property
    def of_views(self) -> Float32Array:
        """Those of a video that is one segment."""
        (only,) = self.of_segments
        return only

    @property
    def mean(self) -> Float64Array:
        """Over all views of all segments, ``[K]``."""
        return video_logits(np.concatenate(self.of_segments))


@contextmanager
def opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


async def classify(
    runtime: Runtime, path: Path, options: ClassifyOptions | None = None, *, sink: LogitsSink | None = None
) -> Classification:
    with opened(path) as descriptor, runtime.job(options or ClassifyOptions()) as job:
        return await job.classify(descriptor, sink=sink)


async def events_of(runtime: Runtime, descriptor: int, options: ClassifyOptions) -> AsyncGenerator[Event, None]:
    with runtime.job(options) as job:
        async with aclosing(job.events(descriptor)) as events:
            async for event in events:
                yield event


@asynccontextmanager
async def started(runtime: Runtime) -> AsyncGenerator[Runtime, None]:
    await runtime.start()
    try:
        yield runtime
    finally:
        await runtime.close()


def fake_runtime(
    repository: Path,
    engine: Engine,
    *,
    max_queued_views: int = 64,
    decode_workers: int = 2,
    max_answers_bytes: int | None = None,
) -> Runtime:
    """A runtime of that model alone."""
    return Runtime(
        ServedModels(
            [fake_model(repository, engine, max_queued_views=max_queued_views)],
            default_model=None,
            decoders=decode_workers,
        ),
        DecodePool(decode_workers),
        answers=AnswerMemory() if max_answers_bytes is None else AnswerMemory(max_answers_bytes),
    )


def fake_model(
    repository: Path, engine: Engine, *, max_queued_views: int = 64, observer: Observer | None = None
) -> ServedModel:
    """The first model of ``repository`` with another engine behind it."""
    files = discover(repository, versions="latest")[0]
    scheduler = Scheduler(engine, batch_sizes=(1, 2, 4, 8), max_queued_views=max_queued_views, observer=observer)
    return ServedModel(files, scheduler)
