"""The contract of ``engines/base.py``, held by every engine that runs a graph in this process."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from laps_server.arrays import Float32Array, UInt8Array
from laps_server.engines.base import Engine
from laps_server.engines.choices import EngineName
from laps_server.engines.machine import this_machine
from laps_server.engines.registry import ENGINES
from laps_server.errors import InternalError, ModelCorrupt
from laps_server.models.repository import ModelFiles, read_model
from laps_server.settings import Settings
from support.model_repositories import add_int8, colour_graph, write_model

EXACT = 1e-5
IN_PROCESS = [name for name, row in ENGINES.items() if row.in_process]
pytestmark = pytest.mark.parametrize("name", IN_PROCESS)


@asynccontextmanager
async def started(name: EngineName, files: ModelFiles, sizes: tuple[int, ...] = (1, 2)) -> AsyncGenerator[Engine, None]:
    with ThreadPoolExecutor(1) as executor:
        engine = ENGINES[name].build(files, "float32", Settings(threads=1), executor)
        await engine.start(sizes)
        try:
            yield engine
        finally:
            await engine.close()


def some_clips(count: int, frames: int = 4, size: int = 32) -> UInt8Array:
    """Each of another colour."""
    colours = np.random.default_rng(7).integers(0, 256, (count, frames, 1, 1, 3), dtype=np.uint8)
    return np.ascontiguousarray(np.broadcast_to(colours, (count, frames, size, size, 3)))


def expected(clips: UInt8Array) -> Float32Array:
    """What ``colour_graph`` of four labels computes of clips of one colour a frame."""
    colour = clips[:, :, 0, 0].astype(np.float32)  # [B, T, 3]
    dark = 3 - 2 / 255 * colour.sum(axis=-1, keepdims=True)
    return np.concatenate([8 / 255 * colour, dark], axis=-1)  # [B, T, 4]


async def test_rows_are_as_many_as_clips_and_in_their_order(name: EngineName, tmp_path: Path) -> None:
    clips = some_clips(4)
    async with started(name, read_model(write_model(tmp_path), 1), (1, 2, 4)) as engine:
        for size in (1, 2, 4, 3):  # of the last one nobody spoke at the start
            logits = (await engine.infer(clips[:size])).logits
            assert logits.shape == (size, *engine.info.output_shape)
            assert logits.dtype == np.float32
            np.testing.assert_allclose(logits, expected(clips[:size]), atol=EXACT)


async def test_a_result_stays_what_it_was_when_the_next_batch_runs(name: EngineName, tmp_path: Path) -> None:
    clips = some_clips(2)
    async with started(name, read_model(write_model(tmp_path), 1)) as engine:
        first = (await engine.infer(clips[:1])).logits
        kept = first.copy()
        await engine.infer(clips[1:])
        assert np.array_equal(first, kept)


async def test_clips_that_are_views_of_other_memory_are_read_as_they_are(name: EngineName, tmp_path: Path) -> None:
    clips = some_clips(4)
    async with started(name, read_model(write_model(tmp_path), 1)) as engine:
        logits = (await engine.infer(clips[::-2])).logits
    np.testing.assert_allclose(logits, expected(clips[::-2]), atol=EXACT)


async def test_an_embedding_comes_beside_the_logits(name: EngineName, tmp_path: Path) -> None:
    clips = some_clips(2)
    files = read_model(write_model(tmp_path, kind="per_clip", embedding=True), 1)
    async with started(name, files) as engine:
        result = await engine.infer(clips)
    assert result.logits.shape == (2, 4)
    assert result.embedding is not None
    np.testing.assert_allclose(result.embedding, clips[:, :, 0, 0].mean(axis=1) / 255, atol=EXACT)


@pytest.mark.parametrize(
    ("shape", "what"),
    [
        ((8, 32, 4), "has no input 'clips'"),
        ((4, 16, 4), "has no input 'clips'"),
        ((4, 32, 5), "has no output"),
    ],
)
async def test_a_graph_that_is_not_the_manifests_is_refused(
    name: EngineName, tmp_path: Path, shape: tuple[int, int, int], what: str
) -> None:
    frames, size, classes = shape
    graph = colour_graph(frames=frames, size=size, classes=classes)
    files = read_model(write_model(tmp_path, graph=graph), 1)
    with pytest.raises(ModelCorrupt, match=what) as caught:
        async with started(name, files):
            pass
    assert "colours/1/model.onnx" in caught.value.message


async def test_a_file_that_is_no_graph_is_refused(name: EngineName, tmp_path: Path) -> None:
    files = read_model(write_model(tmp_path), 1)
    (files.folder / "model.onnx").write_bytes(b"no graph at all")
    with pytest.raises(ModelCorrupt, match=r"colours/1/model\.onnx cannot be loaded"):
        async with started(name, files):
            pass


async def test_nothing_runs_before_the_start_nor_after_the_end(name: EngineName, tmp_path: Path) -> None:
    files = read_model(write_model(tmp_path), 1)
    clips = some_clips(1)
    with ThreadPoolExecutor(1) as executor:
        engine = ENGINES[name].build(files, "float32", Settings(threads=1), executor)
        await engine.close()
        with pytest.raises(InternalError, match="is not loaded"):
            await engine.infer(clips)
        await engine.start((1,))
        await engine.infer(clips)
        await engine.close()
        with pytest.raises(InternalError, match="is not loaded"):
            await engine.infer(clips)


async def test_every_precision_that_the_engine_names_is_computed(name: EngineName, tmp_path: Path) -> None:
    files = read_model(write_model(tmp_path), 1)
    clips = some_clips(2)
    for precision in ENGINES[name].precisions(files.manifest, this_machine("cpu")):
        with ThreadPoolExecutor(1) as executor:
            engine = ENGINES[name].build(files, precision, Settings(threads=1), executor)
            await engine.start((2,))
            logits = (await engine.infer(clips)).logits
            await engine.close()
        assert (engine.info.precision, engine.info.device) == (precision, "cpu")
        np.testing.assert_allclose(logits, expected(clips), atol=EXACT if precision == "float32" else 0.1)


async def test_int8_runs_the_file_that_is_of_it(name: EngineName, tmp_path: Path) -> None:
    other = colour_graph(frames=4, size=32, classes=4)
    other.graph.node[0].op_type = "Identity"  # so that it cannot be loaded, which names the file
    files = read_model(add_int8(write_model(tmp_path), other), 1)
    assert files.graph_of("int8").name == "model.int8.onnx"
    with ThreadPoolExecutor(1) as executor:
        engine = ENGINES[name].build(files, "int8", Settings(threads=1), executor)
        with pytest.raises(ModelCorrupt, match=r"colours/1/model\.int8\.onnx"):
            await engine.start((1,))
        await engine.close()
