"""ONNX Runtime in this process, on the CPU; and the loading of a session, which :mod:`.ort_gpu` does alike.

All models of a process share one executor of one thread: a session already spreads a batch over the whole thread
budget, so two batches at once would only fight for the same cores.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime as ort

from laps_server.arrays import UInt8Array
from laps_server.engines.base import EngineInfo, InferResult
from laps_server.engines.choices import Device, Precision
from laps_server.errors import DeviceMissing, InternalError, ModelCorrupt
from laps_server.models.repository import ModelFiles

Providers = Sequence[tuple[str, Mapping[str, str]]]
_CPU: Providers = (("CPUExecutionProvider", {}),)
_CLIPS, _FLOATS = "tensor(uint8)", "tensor(float)"


class OrtEngine:
    """One session of one graph; see :class:`laps_server.engines.base.Engine` for the contract."""

    def __init__(
        self,
        files: ModelFiles,
        *,
        threads: int,
        executor: ThreadPoolExecutor,
        precision: Precision = "float32",
    ) -> None:
        self._files = files
        self._graph = files.graph_of(precision)
        self._executor = executor
        self._session: ort.InferenceSession | None = None
        self._info = EngineInfo(
            name="ort",
            device="cpu",
            precision=precision,
            threads=threads,
            clip_shape=files.manifest.clip_shape,
            output_shape=files.manifest.output_shape,
            embedding_size=files.manifest.embedding_size,
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
        """Load the graph, check its shapes against the manifest, run every batch size once.

        Raises:
            ModelCorrupt: the graph cannot be loaded or is not what the manifest says.
        """
        loop = asyncio.get_running_loop()
        self._session = await loop.run_in_executor(self._executor, self._load)
        for size in batch_sizes:
            await self.infer(np.zeros((size, *self._info.clip_shape), np.uint8))

    async def infer(self, clips: UInt8Array, *, deadline: float | None = None) -> InferResult:  # noqa: ARG002
        """See :meth:`laps_server.engines.base.Engine.infer`; a batch cannot be stopped, so its deadline is ignored."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._run, clips)

    async def close(self) -> None:
        """Drop the session after the batch in flight, which the one-thread executor orders."""
        await asyncio.get_running_loop().run_in_executor(self._executor, self._drop)

    def _load(self) -> ort.InferenceSession:
        return load_session(self._files, self._graph, device="cpu", providers=_CPU, threads=self._info.threads)

    def _run(self, clips: UInt8Array) -> InferResult:
        if self._session is None:
            raise InternalError(f"{self._where()} is not loaded")
        manifest = self._files.manifest
        return InferResult(*self._session.run([*manifest.outputs], {manifest.clip.name: clips}))

    def _drop(self) -> None:
        self._session = None

    def _where(self) -> str:
        return _where(self._files, self._graph)


def load_session(
    files: ModelFiles, graph: Path, *, device: Device, providers: Providers, threads: int
) -> ort.InferenceSession:
    """Load a model's graph, and check its shapes against the manifest.

    Args:
        files: the model.
        graph: the one of its files that is run.
        device: what the operator calls the first provider.
        providers: with their options, best first; the others take over what the first has no kernel for, never all.
        threads: of what runs on the CPU.

    Raises:
        DeviceMissing: the first provider cannot be used.
        ModelCorrupt: the graph cannot be loaded or is not what the manifest says.
    """
    wanted = providers[0][0]
    if wanted not in ort.get_available_providers():
        raise DeviceMissing(
            f"device {device}: this build of ONNX Runtime has no {wanted}", hint="use the GPU image, or --device cpu"
        )
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Waiting threads must not spin on the cores that decoding needs, neither between runs nor within one: a view of
    # camera-motion takes 30 ms of processors so, and 54 where spinning stops only at the end of a run.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = ort.InferenceSession(
            str(graph.resolve(strict=True)),
            sess_options=options,
            providers=[name for name, _ in providers],
            provider_options=[dict(chosen) for _, chosen in providers],
        )
    except Exception as exc:  # ONNX Runtime raises a dozen types of its own, with Exception as their only base
        raise ModelCorrupt(f"{_where(files, graph)} cannot be loaded: {exc}", hint="export the model again") from exc
    # Without a usable GPU, ONNX Runtime says so on standard error and goes on with the CPU, a hundred times slower.
    if wanted not in session.get_providers():
        raise DeviceMissing(
            f"device {device}: ONNX Runtime found no GPU that it can use",
            hint="start the container with --gpus all and a driver new enough for its CUDA, or use --device cpu",
        )
    manifest, where = files.manifest, _where(files, graph)
    _check_tensor(where, "input", session.get_inputs(), (manifest.clip.name, _CLIPS, manifest.clip_shape))
    for name, shape in manifest.outputs.items():
        _check_tensor(where, "output", session.get_outputs(), (name, _FLOATS, shape))
    return session


def _check_tensor(
    where: str, what: str, tensors: Sequence[ort.NodeArg], expected: tuple[str, str, tuple[int, ...]]
) -> None:
    for tensor in tensors:
        if (tensor.name, tensor.type, tuple(tensor.shape[1:])) == expected:
            return
    name, kind, shape = expected
    found = ", ".join(f"{t.name} {t.type} {t.shape}" for t in tensors)
    raise ModelCorrupt(
        f"{where} has no {what} {name!r} of {kind} [B, {', '.join(map(str, shape))}]; it has {found}",
        hint="the manifest beside it is of another model; export both together",
    )


def _where(files: ModelFiles, graph: Path) -> str:
    return f"{files.name}/{files.version}/{graph.name}"
