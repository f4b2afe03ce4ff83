"""A gateway's repository as the exporter ships it, and a real Triton over its twin."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from laps_server.engines.choices import SharedMemoryMode
from laps_server.engines.triton.engine import TritonEngine
from laps_server.engines.triton.wire import connect
from laps_server.models.repository import discover
from support.real_triton import (
    BATCH_SIZES,
    CONCURRENCY,
    StartedEngine,
    Triton,
    running_triton,
    write_shipped_model,
    write_twin,
)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """The gateway's."""
    write_shipped_model(tmp_path / "models")
    return tmp_path / "models"


@pytest.fixture
def twin(repository: Path, tmp_path: Path) -> Path:
    """The version's folder in Triton's repository."""
    return write_twin(repository / "colours", tmp_path / "triton")


@pytest.fixture
def triton(twin: Path, tmp_path: Path) -> Iterator[Triton]:
    with running_triton(twin.parents[1], tmp_path / "triton.log") as triton:
        yield triton


@pytest.fixture
def engine_of(repository: Path) -> StartedEngine:
    """Start an engine for the gateway's model, as ``async with engine_of(url, ...) as engine``."""

    @asynccontextmanager
    async def started(
        url: str,
        *,
        shared_memory: SharedMemoryMode = "auto",
        timeout_s: float = 30,
        start_timeout_s: float = 30,
        concurrency: int = CONCURRENCY,
        batch_sizes: tuple[int, ...] = BATCH_SIZES,
        models: Path = repository,
        ca_file: Path | None = None,
    ) -> AsyncIterator[TritonEngine]:
        (files,) = discover(models, versions="latest")
        engine = TritonEngine(
            files,
            url=url,
            connect=partial(connect, ca_file=ca_file),
            shared_memory=shared_memory,
            concurrency=concurrency,
            timeout_s=timeout_s,
            start_timeout_s=start_timeout_s,
        )
        try:
            await engine.start(batch_sizes)
            yield engine
        finally:
            await asyncio.wait_for(engine.close(), 20)

    return started
