"""The engine for GPUs, on the CPU: all of it but the provider and the page lock, for which a stand-in is told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from laps_server.arrays import Float32Array, UInt8Array
from laps_server.engines import ort_gpu
from laps_server.engines.choices import Device, Precision
from laps_server.engines.ort_gpu import IN_FLIGHT, OrtGpuEngine, check_tensorrt, providers_of
from laps_server.engines.registry import ENGINES
from laps_server.errors import DeviceMissing, InternalError, ModelCorrupt
from laps_server.models.repository import ModelFiles, read_model
from laps_server.settings import Settings
from support.model_repositories import colour_graph, write_model
from support.thread_pools import pools_since

SIZES = (1, 2, 4)


class Locks:
    """In the place of CUDA's runtime: which addresses are locked; ``refuses`` all of them."""

    def __init__(self, *, refuses: bool = False) -> None:
        self.locked: dict[int, int] = {}
        self._refuses = refuses

    def lock(self, address: int, size_bytes: int) -> bool:
        if not self._refuses:
            self.locked[address] = size_bytes
        return not self._refuses

    def unlock(self, address: int) -> None:
        del self.locked[address]


@pytest.fixture
def files(tmp_path: Path) -> ModelFiles:
    return read_model(write_model(tmp_path / "models", kind="per_clip", embedding=True), 1)


def build(files: ModelFiles, *, device: Device = "cpu", precision: Precision = "float32") -> OrtGpuEngine:
    return OrtGpuEngine(files, device=device, precision=precision, threads=1, cache_dir=None)


@asynccontextmanager
async def started(files: ModelFiles) -> AsyncGenerator[OrtGpuEngine, None]:
    engine = build(files)
    try:
        await engine.start(SIZES)
        yield engine
    finally:
        await engine.close()


def some_clips(count: int, seed: int = 0) -> UInt8Array:
    return np.random.default_rng(seed).integers(0, 256, (count, 4, 32, 32, 3), dtype=np.uint8)


def embedding_of(clips: UInt8Array) -> Float32Array:
    mean: Float32Array = clips.mean(axis=(1, 2, 3), dtype=np.float64).astype(np.float32) / 255
    return mean


async def test_rows_are_those_of_the_engine_on_the_cpu(files: ModelFiles) -> None:
    settings = Settings(threads=1)
    with ThreadPoolExecutor(1) as executor:
        plain = ENGINES["ort"].build(files, "float32", settings, executor)
        await plain.start(())
        async with started(files) as engine:
            for size in (1, 2, 4, 3):  # of the last one nobody spoke at the start
                clips = some_clips(size)[:, ::-1]  # lies in other memory backwards
                result, wanted = await engine.infer(clips), await plain.infer(np.ascontiguousarray(clips))
                assert np.array_equal(result.logits, wanted.logits)
                assert result.embedding is not None
                assert wanted.embedding is not None
                assert np.array_equal(result.embedding, wanted.embedding)
        await plain.close()


async def test_a_session_sees_batches_of_one_size_alone(files: ModelFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA looks for algorithms anew where the size is another than the last one."""
    run = ort.InferenceSession.run_with_iobinding
    seen: dict[int, set[tuple[int, ...]]] = {}

    def watched(session: ort.InferenceSession, binding: ort.IOBinding) -> None:
        run(session, binding)
        seen.setdefault(id(session), set()).add(tuple(binding.get_outputs()[0].shape()))

    monkeypatch.setattr(ort.InferenceSession, "run_with_iobinding", watched)
    async with started(files) as engine:
        for views in (4, 1, 3, 2, 4, 1):
            assert len((await engine.infer(some_clips(views))).logits) == views
    assert sorted([shape[0] for shape in shapes] for shapes in seen.values()) == [[size] for size in SIZES]


async def test_two_batches_in_flight_have_buffers_of_their_own(
    files: ModelFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ort.InferenceSession.run_with_iobinding
    both = threading.Barrier(IN_FLIGHT)

    def run_together(session: ort.InferenceSession, binding: ort.IOBinding) -> None:
        both.wait(20)  # until the other one's clips are written too
        run(session, binding)

    async with started(files) as engine:
        assert engine.info.concurrency == IN_FLIGHT == 2
        monkeypatch.setattr(ort.InferenceSession, "run_with_iobinding", run_together)
        pairs = [(some_clips(size, 2 * size), some_clips(size, 2 * size + 1)) for size in (4, 1, 4)]
        found = [await asyncio.gather(*map(engine.infer, pair)) for pair in pairs]
    # Compared when all have run: a result must not lie in memory that the next batch writes.
    for pair, results in zip(pairs, found, strict=True):
        for clips, result in zip(pair, results, strict=True):
            assert result.embedding is not None
            np.testing.assert_allclose(result.embedding, embedding_of(clips), atol=1e-5)


async def test_a_batch_that_no_buffer_holds_is_refused_and_the_next_one_runs(files: ModelFiles) -> None:
    async with started(files) as engine:
        for _ in range(IN_FLIGHT + 1):
            with pytest.raises(InternalError, match="5 views, where 4 are the most"):
                await engine.infer(some_clips(5))
        assert len((await engine.infer(some_clips(4))).logits) == 4


async def test_nothing_runs_before_the_start_nor_after_the_end(files: ModelFiles) -> None:
    before = set(threading.enumerate())
    engine = build(files)
    await engine.close()
    with pytest.raises(InternalError, match="is not loaded"):
        await engine.infer(some_clips(1))
    for _ in range(2):
        await engine.start((1,))
        await engine.infer(some_clips(1))
        await engine.close()
        with pytest.raises(InternalError, match="is not loaded"):
            await engine.infer(some_clips(1))
    assert pools_since(before) == set()


async def test_a_graph_that_is_not_the_manifests_is_refused(tmp_path: Path) -> None:
    files = read_model(write_model(tmp_path, graph=colour_graph(frames=8, size=32, classes=4)), 1)
    with pytest.raises(ModelCorrupt, match="has no input 'clips'"):
        async with started(files):
            pass


@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
async def test_a_provider_that_this_build_lacks_is_named(files: ModelFiles, device: Device) -> None:
    engine = build(files, device=device)
    with pytest.raises(DeviceMissing, match=f"device {device}: this build of ONNX Runtime has no"):
        await engine.start((1,))
    await engine.close()


@pytest.mark.parametrize("refuses", [False, True])
async def test_host_memory_is_locked_for_a_gpu_until_the_end(
    files: ModelFiles, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, *, refuses: bool
) -> None:
    locks = Locks(refuses=refuses)
    monkeypatch.setattr(ort_gpu, "_cuda_runtime", lambda: locks)
    monkeypatch.setattr(ort_gpu, "providers_of", lambda *_, **__: (("CPUExecutionProvider", {}),))
    engine = build(files, device="cuda")
    # The memory that would be the GPU's is the CPU's here.
    monkeypatch.setattr(ort.OrtValue, "ortvalue_from_shape_and_type", on_the_cpu)
    await engine.start(SIZES)
    clips, logits, embedding = 4 * 4 * 32 * 32 * 3, 4 * 4 * 4, 4 * 3 * 4
    assert sorted(locks.locked.values()) == ([] if refuses else sorted([clips, logits, embedding] * IN_FLIGHT))
    assert ("cannot be page-locked" in caplog.text) == refuses
    assert len((await engine.infer(some_clips(2))).logits) == 2
    await engine.close()
    assert locks.locked == {}


def on_the_cpu(shape: tuple[int, ...], dtype: type[np.generic], memory: str) -> object:
    assert memory == "cuda"
    return ort.OrtValue.ortvalue_from_numpy(np.zeros(shape, dtype))


@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
def test_the_operators_device_and_cache_reach_it(files: ModelFiles, tmp_path: Path, device: Device) -> None:
    settings = Settings(device=device, cache_dir=tmp_path, threads=3)
    with ThreadPoolExecutor(1) as executor:
        engine = ENGINES["ort"].build(files, "float32", settings, executor)
    assert isinstance(engine, OrtGpuEngine)
    assert (engine.info.device, engine.info.threads, engine.info.precision) == (device, 3, "float32")


def test_float32_is_not_rounded_on_cuda(files: ModelFiles) -> None:
    first, last = providers_of("cuda", files.manifest, precision="float32", largest=16, cache=None)
    assert first == ("CUDAExecutionProvider", {"device_id": "0", "use_tf32": "0"})
    assert last == ("CPUExecutionProvider", {})


@pytest.mark.parametrize(("precision", "flag"), [("float32", "0"), ("float16", "1")])
def test_tensorrt_has_one_profile_for_all_batch_sizes(
    files: ModelFiles, tmp_path: Path, precision: Precision, flag: str
) -> None:
    first, *others = providers_of("tensorrt", files.manifest, precision=precision, largest=16, cache=tmp_path)
    name, options = first
    assert name == "TensorrtExecutionProvider"
    assert [name for name, _ in others] == ["CUDAExecutionProvider", "CPUExecutionProvider"]
    assert options["trt_profile_min_shapes"] == "clips:1x4x32x32x3"
    assert options["trt_profile_opt_shapes"] == options["trt_profile_max_shapes"] == "clips:16x4x32x32x3"
    assert options["trt_fp16_enable"] == flag
    assert options["trt_engine_cache_path"] == options["trt_timing_cache_path"] == str(tmp_path)
    without, *_ = providers_of("tensorrt", files.manifest, precision=precision, largest=16, cache=None)
    assert not [key for key in without[1] if "cache" in key]


async def test_each_graph_and_precision_has_a_cache_of_its_own(files: ModelFiles, tmp_path: Path) -> None:
    for precision in ("float32", "float16"):
        engine = OrtGpuEngine(files, device="tensorrt", precision=precision, threads=1, cache_dir=tmp_path / "cache")
        with pytest.raises(DeviceMissing):
            await engine.start((1, 4))
        await engine.close()
    digest = files.manifest.files["model.onnx"][:16]
    found = sorted(path.name for path in (tmp_path / "cache" / "tensorrt").iterdir())
    assert found == [f"colours-{digest}-float16-4", f"colours-{digest}-float32-4"]


@pytest.mark.parametrize("name", ["libnvinfer.so.11", "libnvinfer.so.11.4.1", "libnvinfer.so.12"])
def test_a_tensorrt_that_would_run_float32_under_the_name_of_float16_is_refused(name: str) -> None:
    with pytest.raises(DeviceMissing, match=r"TensorRT 1\d computes in what the graph is written in"):
        check_tensorrt(Path("/usr/lib", name))
    check_tensorrt(Path("/usr/lib/libnvinfer.so.10.9.0"))


def test_a_library_is_found_once_it_is_loaded() -> None:
    assert ort_gpu._mapped_library("libc.so") is not None
    assert ort_gpu._mapped_library("libnvinfer.so") is None
