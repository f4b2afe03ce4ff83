"""A pipeline without a front: started, asked about files, and with an engine that a test controls."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from laps_server.engines.base import Engine
from laps_server.events import Classification, ClassifyOptions
from laps_server.pipeline import Pipeline, ServedModel
from laps_server.repository import discover
from laps_server.scheduler import Scheduler
from laps_server.video.extract import MediaLimits
from laps_server.video.worker import DecodePool


@contextmanager
def opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


async def classify(pipeline: Pipeline, path: Path, options: ClassifyOptions | None = None) -> Classification:
    with opened(path) as descriptor:
        return await pipeline.classify(descriptor, options or ClassifyOptions())


@asynccontextmanager
async def started(pipeline: Pipeline) -> AsyncGenerator[Pipeline, None]:
    await pipeline.start()
    try:
        yield pipeline
    finally:
        await pipeline.close()


def fake_pipeline(repository: Path, engine: Engine, *, max_queued_views: int = 64, decode_workers: int = 2) -> Pipeline:
    """The first model of ``repository`` with another engine behind it."""
    files = discover(repository, versions="latest")[0]
    scheduler = Scheduler(engine, batch_sizes=(1, 2, 4, 8), max_queued_views=max_queued_views)
    return Pipeline(
        (ServedModel(files, scheduler),),
        decode_pool=DecodePool(decode_workers),
        default_model=None,
        decode_threads=1,
        limits=MediaLimits(),
    )
