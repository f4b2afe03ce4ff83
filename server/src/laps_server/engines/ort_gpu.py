"""ONNX Runtime in this process on an NVIDIA GPU, by its CUDA or its TensorRT provider.

Two batches are in flight: while the GPU computes one, the clips of the other are copied into page-locked memory and
from there to the device. Each has buffers of its own, bound once, so that nothing is allocated for a batch.

With CUDA each batch size has a session of its own: a convolution looks for its fastest algorithm whenever the shape of
its input is another than before. On an H100 that takes 0.5 to 1.2 s a model, at every change between two sizes, and a
request of five views is a batch of four and one of one (docs/performance.md). A batch of another size is filled up.

On device ``cpu`` all of it is the same but the provider and the page lock: so tests run it, since no GPU is theirs.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import mmap
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import prod
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np

from laps_server.arrays import UInt8Array
from laps_server.engines.base import EngineInfo, InferResult
from laps_server.engines.choices import Device, Precision
from laps_server.engines.ort import Providers, load_session
from laps_server.errors import DeviceMissing, InternalError
from laps_server.models.manifest import Manifest
from laps_server.models.repository import ModelFiles
from laps_server.onnx_runtime import ort

_LOG = logging.getLogger(__name__)

IN_FLIGHT = 2
_MEMORY: dict[Device, str] = {"cpu": "cpu", "cuda": "cuda", "tensorrt": "cuda"}  # as ONNX Runtime calls it
# TensorRT compiles with scratch memory of up to this many bytes, and keeps what the fastest kernels need of it.
_WORKSPACE_BYTES = 2**30
# The first release that takes every precision from the graph: the provider's float16 option does nothing there.
_STRONGLY_TYPED = 11


class OrtGpuEngine:
    """Sessions of one graph; see :class:`laps_server.engines.base.Engine` for the contract."""

    def __init__(
        self, files: ModelFiles, *, device: Device, precision: Precision, threads: int, cache_dir: Path | None
    ) -> None:
        """Nothing is loaded before :meth:`start`.

        Args:
            files: the model.
            device: which provider.
            precision: float32; float16 with TensorRT, or of a model that has a float16 file.
            threads: of what runs on the CPU.
            cache_dir: where TensorRT keeps what it compiled, in a folder for each model; None compiles at each start.
        """
        self._files = files
        self._graph = files.graph_of(precision)
        self._device = device
        self._cache_dir = cache_dir
        self._executor: ThreadPoolExecutor | None = None
        self._buffers: list[_Buffers] = []
        self._free: SimpleQueue[_Buffers] = SimpleQueue()
        self._info = EngineInfo(
            name="ort",
            device=device,
            precision=precision,
            threads=threads,
            clip_shape=files.manifest.clip_shape,
            output_shape=files.manifest.output_shape,
            embedding_size=files.manifest.embedding_size,
            concurrency=IN_FLIGHT,
        )

    @property
    def info(self) -> EngineInfo:
        """Shapes from the manifest; ``start`` refuses a graph that has others."""
        return self._info

    @property
    def unavailable_reason(self) -> str | None:
        """None: all of it is in this process."""
        return None

    async def start(self, batch_sizes: tuple[int, ...]) -> None:
        """Load the graph, check its shapes against the manifest, run every batch size once in each of the buffers.

        TensorRT compiles in here, which takes minutes where its cache has nothing.

        Raises:
            DeviceMissing: the device asked for cannot be used, or not in this precision.
            ModelCorrupt: the graph cannot be loaded or is not what the manifest says.
        """
        self._executor = ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="infer-gpu")
        await asyncio.get_running_loop().run_in_executor(self._executor, self._load, batch_sizes or (1,))
        for size in batch_sizes:
            clips = np.zeros((size, *self._info.clip_shape), np.uint8)
            for _ in range(IN_FLIGHT):  # one after the other: buffers come back to the end of the queue
                await self.infer(clips)

    async def infer(self, clips: UInt8Array, *, deadline: float | None = None) -> InferResult:  # noqa: ARG002
        """See :meth:`laps_server.engines.base.Engine.infer`; a batch cannot be stopped, so its deadline is ignored."""
        if self._executor is None:
            raise InternalError(f"{self._files.shown} is not loaded")
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._run, clips)

    async def close(self) -> None:
        """Drop the session and give the memory back, after the batches in flight."""
        executor, self._executor = self._executor, None
        if executor is not None:
            await asyncio.to_thread(executor.shutdown)
        while self._buffers:
            self._buffers.pop().close()
        self._free = SimpleQueue()

    def _load(self, batch_sizes: Sequence[int]) -> None:
        manifest, largest = self._files.manifest, max(batch_sizes)
        providers = providers_of(
            self._device,
            manifest,
            precision=self._info.precision,
            largest=largest,
            cache=self._cache(largest) if self._device == "tensorrt" else None,
        )

        def session() -> ort.InferenceSession:
            return load_session(
                self._files, self._graph, device=self._device, providers=providers, threads=self._info.threads
            )

        if self._device == "tensorrt":  # compiled for all sizes at once
            sessions = dict.fromkeys(batch_sizes, session())
        else:
            sessions = {size: session() for size in batch_sizes}
        if self._device == "tensorrt" and wants_lowering(manifest, self._info.precision):
            check_tensorrt(_mapped_library("libnvinfer.so"))
        runtime = _cuda_runtime() if _MEMORY[self._device] == "cuda" else None
        for _ in range(IN_FLIGHT):
            buffers = _Buffers(sessions, manifest, memory=_MEMORY[self._device], runtime=runtime)
            self._buffers.append(buffers)
            self._free.put(buffers)

    def _cache(self, largest: int) -> Path | None:
        """A folder for this graph and profile alone: the provider knows what it compiled by the names of nodes."""
        if self._cache_dir is None:
            return None
        digest = self._files.manifest.files[self._graph.name][:16]
        folder = self._cache_dir / "tensorrt" / f"{self._files.name}-{digest}-{self._info.precision}-{largest}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            _LOG.warning("TensorRT keeps nothing that it compiles: %s: %s", folder, exc.strerror)
            return None
        return folder

    def _run(self, clips: UInt8Array) -> InferResult:
        buffers = self._free.get()
        try:
            return buffers.run(clips)
        finally:
            self._free.put(buffers)


def wants_lowering(manifest: Manifest, precision: Precision) -> bool:
    """Whether the provider has to round a float32 graph, since the model has no file of that precision."""
    return precision == "float16" and precision not in manifest.precisions


def providers_of(
    device: Device, manifest: Manifest, *, precision: Precision, largest: int, cache: Path | None
) -> Providers:
    """Execution providers with their options, best first; each takes over what those before it have no kernel for.

    Args:
        device: what the operator chose.
        manifest: the model's.
        precision: what it is computed in.
        largest: most views in a batch.
        cache: folder of what TensorRT compiled, or None.
    """
    cpu = ("CPUExecutionProvider", dict[str, str]())
    if device == "cpu":
        return (cpu,)
    # Left to itself, CUDA rounds the factors of float32 products to ten bits.
    cuda = ("CUDAExecutionProvider", {"device_id": "0", "use_tf32": "0"})
    if device == "cuda":
        return (cuda, cpu)
    # One profile from a single view to the largest batch, so that no batch size compiles anything anew.
    sizes = {"min": 1, "opt": largest, "max": largest}
    profile = {
        f"trt_profile_{name}_shapes": f"{manifest.clip.name}:{'x'.join(map(str, (size, *manifest.clip_shape)))}"
        for name, size in sizes.items()
    }
    options = {
        "device_id": "0",
        "trt_max_workspace_size": str(_WORKSPACE_BYTES),
        "trt_fp16_enable": "1" if wants_lowering(manifest, precision) else "0",
        **profile,
    }
    if cache is not None:
        options |= {"trt_engine_cache_enable": "1", "trt_engine_cache_path": str(cache)}
        options |= {"trt_timing_cache_enable": "1", "trt_timing_cache_path": str(cache)}
    return (("TensorrtExecutionProvider", options), cuda, cpu)


def check_tensorrt(library: Path | None) -> None:
    """Refuse a TensorRT that ignores the option of float16, and would run float32 under another name.

    Raises:
        DeviceMissing: it is one, by the name of its library; one that cannot be told passes.
    """
    version = re.search(r"\.so\.(\d+)", "" if library is None else library.name)
    if version and int(version[1]) >= _STRONGLY_TYPED:
        raise DeviceMissing(
            f"device tensorrt: TensorRT {version[1]} computes in what the graph is written in, and this one is float32",
            hint="LAPS_PRECISION=float32, or a plan by laps-export tensorrt for Triton",
        )


class _CudaRuntime:
    """Locks pages of this process's memory, from which a GPU reads without a copy in between."""

    def __init__(self, library: Path) -> None:
        self._library = ctypes.CDLL(str(library))

    def lock(self, address: int, size_bytes: int) -> bool:
        """Lock them; whether that could be done."""
        done: int = self._library.cudaHostRegister(ctypes.c_void_p(address), ctypes.c_size_t(size_bytes), 0)
        return done == 0

    def unlock(self, address: int) -> None:
        """Undo :meth:`lock`."""
        self._library.cudaHostUnregister(ctypes.c_void_p(address))


def _cuda_runtime() -> _CudaRuntime | None:
    """The one that ONNX Runtime's provider has loaded already."""
    library = _mapped_library("libcudart.so")
    return None if library is None else _CudaRuntime(library)


def _mapped_library(stem: str) -> Path | None:
    """A shared library that this process has loaded, by the start of its name."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        path = Path(line.split(maxsplit=5)[-1])
        if path.name.startswith(stem):
            return path
    return None


class _HostArray:
    """An array on pages of its own, locked where there is a GPU to read them."""

    def __init__(self, shape: Sequence[int], dtype: type[np.generic], runtime: _CudaRuntime | None) -> None:
        size_bytes = prod(shape) * np.dtype(dtype).itemsize
        self.array: Any = np.frombuffer(mmap.mmap(-1, size_bytes), dtype).reshape(shape)
        self._runtime = runtime
        if runtime is not None and not runtime.lock(self.array.ctypes.data, size_bytes):
            _LOG.warning("%d bytes cannot be page-locked: copies to the GPU are slower", size_bytes)
            self._runtime = None

    def close(self) -> None:
        if self._runtime is not None:
            self._runtime.unlock(self.array.ctypes.data)
            self._runtime = None


class _Buffers:
    """Memory for one batch in flight, of any size up to the largest: here, and on the device for each session."""

    def __init__(
        self,
        sessions: Mapping[int, ort.InferenceSession],
        manifest: Manifest,
        *,
        memory: str,
        runtime: _CudaRuntime | None,
    ) -> None:
        largest = max(sessions)
        self._sessions = sessions
        self._input = manifest.clip.name
        self._memory = memory
        self._clips = _HostArray((largest, *manifest.clip_shape), np.uint8, runtime)
        self._outputs = {
            name: _HostArray((largest, *shape), np.float32, runtime) for name, shape in manifest.outputs.items()
        }
        self._bound: dict[int, tuple[ort.OrtValue, ort.IOBinding]] = {}

    def run(self, clips: UInt8Array) -> InferResult:
        """``[B, T, H, W, 3]`` -> logits and embedding, in memory that is the caller's."""
        views = len(clips)
        size = min((size for size in self._sessions if size >= views), default=0)
        if not size:
            raise InternalError(f"a batch of {views} views, where {max(self._sessions)} are the most")
        on_device, binding = self._bound.get(size) or self._bind(size)
        np.copyto(self._clips.array[:views], clips)  # what lies behind is of an earlier batch, and not looked at
        on_device.update_inplace(self._clips.array[:size])
        binding.synchronize_inputs()
        self._sessions[size].run_with_iobinding(binding)
        binding.synchronize_outputs()
        return InferResult(*(output.array[:views].copy() for output in self._outputs.values()))

    def close(self) -> None:
        self._bound.clear()
        self._sessions = {}
        for array in (self._clips, *self._outputs.values()):
            array.close()

    def _bind(self, size: int) -> tuple[ort.OrtValue, ort.IOBinding]:
        shape = (size, *self._clips.array.shape[1:])
        on_device = ort.OrtValue.ortvalue_from_shape_and_type(shape, np.uint8, self._memory)
        binding = self._sessions[size].io_binding()
        binding.bind_ortvalue_input(self._input, on_device)
        for name, output in self._outputs.items():
            rows = output.array[:size]
            binding.bind_output(name, "cpu", 0, np.float32, rows.shape, rows.ctypes.data)
        self._bound[size] = on_device, binding
        return on_device, binding
