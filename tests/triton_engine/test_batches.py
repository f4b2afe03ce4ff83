"""Batches to a real Triton: their results, their deadlines, their way out of its queue."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest

from laps_export.families.family import MAX_BATCH
from laps_export.graph.onnx_export import export_onnx
from laps_export.repository.triton_config import render_config
from laps_server.arrays import UInt8Array
from laps_server.engines.base import InferResult
from laps_server.engines.choices import SharedMemoryMode
from laps_server.engines.ort import OrtEngine
from laps_server.engines.triton.engine import TritonEngine
from laps_server.errors import BackendTimeout, DeadlineExceeded
from laps_server.models.repository import discover
from support.model_repositories import write_model
from support.real_triton import (
    BATCH_SIZES,
    FRAMES,
    SIZE,
    StartedEngine,
    Triton,
    own_blocks,
    running_triton,
    write_shipped_model,
    write_twin,
)
from support.small_laps import CONTRACT, SMALL, as_model, build_small

TOLERANCE = 1e-4
NOTICED_S = 1.0  # until Triton has heard that nobody waits for a request any more; it tells nobody


def some_clips(count: int, *, frames: int = FRAMES, size: int = SIZE) -> UInt8Array:
    return np.random.default_rng(count).integers(0, 256, (count, frames, size, size, 3), dtype=np.uint8)


def views_run(twin: Path, *, since: int) -> list[int]:
    """Views of each batch that Triton ran."""
    return [sum(map(int, line.split())) for line in (twin / "batches").read_text().splitlines()[since:]]


@pytest.fixture(scope="module")
def laps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with a model that is LAPS in every part, its graph and config.pbtxt from the exporter."""
    root = tmp_path_factory.mktemp("laps")
    frames, size, classes = SMALL.frames, SMALL.resolution, SMALL.classes
    graph = root / "model.onnx"
    export_onnx(as_model(build_small()), graph)
    folder = write_model(
        root / "models", "small", frames=frames, size=size, labels=[f"label {i}" for i in range(classes)],
        graph=onnx.load(graph),
    )  # fmt: skip
    (folder / "config.pbtxt").write_text(render_config("small", CONTRACT))
    return root / "models"


@pytest.fixture(scope="module")
def triton_of_laps(laps: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triton]:
    root = tmp_path_factory.mktemp("triton")
    write_twin(laps / "small", root / "models")
    with running_triton(root / "models", root / "log") as triton:
        yield triton


@pytest.mark.parametrize("shared_memory", ["on", "off"])
@pytest.mark.parametrize("scheme", ["grpc", "http"])
async def test_logits_are_those_of_the_engine_in_process(
    laps: Path, engine_of: StartedEngine, triton_of_laps: Triton, scheme: str,
    shared_memory: SharedMemoryMode,
) -> None:  # fmt: skip
    (files,) = discover(laps, versions="latest")
    clips = some_clips(4, frames=SMALL.frames, size=SMALL.resolution)
    with ThreadPoolExecutor(1) as executor:
        local = OrtEngine(files, threads=1, executor=executor)
        await local.start(())
        expected = (await local.infer(clips)).logits
        await local.close()
    url = triton_of_laps.url(scheme)
    async with engine_of(url, shared_memory=shared_memory, models=laps) as engine:
        assert bool(own_blocks()) == (shared_memory == "on")
        together = (await engine.infer(clips)).logits
        batches = [engine.infer(clips[place : place + 1]) for place in range(4)]
        alone = np.concatenate([result.logits for result in await asyncio.gather(*batches)])
    assert together.shape == (4, SMALL.frames, SMALL.classes)
    np.testing.assert_allclose(together, expected, atol=TOLERANCE)
    np.testing.assert_allclose(alone, expected, atol=TOLERANCE)
    assert own_blocks() == set()


@pytest.mark.parametrize("shared_memory", ["on", "off"])
@pytest.mark.parametrize("scheme", ["grpc", "http"])
async def test_an_embedding_comes_beside_the_logits(
    tmp_path: Path, engine_of: StartedEngine, scheme: str, shared_memory: SharedMemoryMode
) -> None:
    """By the config.pbtxt that the exporter writes for a graph of two outputs."""
    models = tmp_path / "with embedding"
    write_twin(write_shipped_model(models, embedding=True), tmp_path / "triton")
    clips = some_clips(3)
    with running_triton(tmp_path / "triton", tmp_path / "log") as triton:
        url = triton.url(scheme)
        async with engine_of(url, shared_memory=shared_memory, models=models) as engine:
            result = await engine.infer(clips)
    assert result.logits.shape == (3, FRAMES, 4)
    assert result.embedding is not None
    np.testing.assert_allclose(result.embedding, clips.mean(axis=(1, 2, 3)) / 255, atol=1e-5)


async def test_triton_joins_batches_of_several_gateways(engine_of: StartedEngine, triton: Triton, twin: Path) -> None:
    async with engine_of(triton.grpc_url) as engine:
        (twin / "delay_s").write_text("0.3")
        before = len((twin / "batches").read_text().splitlines())
        await asyncio.gather(*(engine.infer(some_clips(2)) for _ in range(8)))
    batches = views_run(twin, since=before)
    assert sum(batches) == 16
    assert max(batches) > max(BATCH_SIZES)


async def busy(engine: TritonEngine, twin: Path) -> list[asyncio.Task[InferResult]]:
    """A batch that runs for a while and the two that Triton prepares meanwhile, out of which it takes nothing."""
    log = twin / "batches"
    before = len(log.read_text().splitlines())
    batches = [asyncio.create_task(engine.infer(some_clips(4)))]
    while len(log.read_text().splitlines()) == before:
        await asyncio.sleep(0.02)
    for _ in range(2):
        batches.append(asyncio.create_task(engine.infer(some_clips(MAX_BATCH))))
        await asyncio.sleep(0.2)
    return batches


@pytest.mark.parametrize("shared_memory", ["on", "off"])
async def test_a_cancelled_batch_leaves_tritons_queue(
    engine_of: StartedEngine, triton: Triton, twin: Path, shared_memory: SharedMemoryMode
) -> None:
    async with engine_of(triton.grpc_url, shared_memory=shared_memory, batch_sizes=(MAX_BATCH,)) as engine:
        (twin / "hold").touch()
        before = len((twin / "batches").read_text().splitlines())
        wanted = await busy(engine, twin)
        gone = [asyncio.create_task(engine.infer(some_clips(2))) for _ in range(2)]
        wanted.append(asyncio.create_task(engine.infer(some_clips(1))))
        await asyncio.sleep(0.3)
        for batch in gone:
            batch.cancel()
        await asyncio.sleep(NOTICED_S)
        (twin / "hold").unlink()
        await asyncio.gather(*wanted)
    assert views_run(twin, since=before) == [4, MAX_BATCH, MAX_BATCH, 1]


@pytest.mark.parametrize("scheme", ["grpc", "http"])
async def test_a_deadline_ends_the_wait(engine_of: StartedEngine, triton: Triton, twin: Path, scheme: str) -> None:
    async with engine_of(triton.url(scheme), batch_sizes=(MAX_BATCH,)) as engine:
        (twin / "hold").touch()
        before = len((twin / "batches").read_text().splitlines())
        wanted = await busy(engine, twin)
        deadline = time.monotonic() + 0.5
        # The batch that runs goes on for as long as this takes: whoever waited for it would wait for ever.
        async with asyncio.timeout(30):
            for batch in asyncio.as_completed([engine.infer(some_clips(2), deadline=deadline) for _ in range(3)]):
                with pytest.raises(DeadlineExceeded):
                    await batch
        await asyncio.sleep(NOTICED_S)
        (twin / "hold").unlink()
        assert engine.unavailable_reason is None, "a client's haste is not Triton's failure"
        await asyncio.gather(*wanted)
        assert len((await engine.infer(some_clips(1))).logits) == 1
    if scheme == "grpc":  # over HTTP Triton does not notice, and runs what nobody waits for
        assert views_run(twin, since=before) == [4, MAX_BATCH, MAX_BATCH, 1]


async def test_a_batch_without_a_deadline_has_the_operators_limit(
    engine_of: StartedEngine, triton: Triton, twin: Path
) -> None:
    async with engine_of(triton.grpc_url, timeout_s=1) as engine:
        (twin / "delay_s").write_text("3")
        with pytest.raises(BackendTimeout):
            await engine.infer(some_clips(1))
