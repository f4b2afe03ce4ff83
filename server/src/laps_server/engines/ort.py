"""ONNX Runtime in this process, on the CPU; and the loading of a session, which :mod:`.ort_gpu` does alike.

All models of a process share one executor of one thread: a session already spreads a batch over the whole thread
budget, so two batches at once would only fight for the same cores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from laps_server.arrays import UInt8Array
from laps_server.engines.base import InferResult
from laps_server.engines.choices import Device, Precision
from laps_server.engines.one_thread import OneThreadEngine, graph_name, tensor_differs
from laps_server.errors import DeviceMissing, ModelCorrupt
from laps_server.models.repository import ModelFiles
from laps_server.onnx_runtime import ort

Providers = Sequence[tuple[str, Mapping[str, str]]]
_CPU: Providers = (("CPUExecutionProvider", {}),)
_CLIPS, _FLOATS = "tensor(uint8)", "tensor(float)"


class OrtEngine(OneThreadEngine):
    """One session of one graph."""

    def __init__(
        self,
        files: ModelFiles,
        *,
        threads: int,
        executor: ThreadPoolExecutor,
        precision: Precision = "float32",
    ) -> None:
        super().__init__(files, name="ort", precision=precision, threads=threads, executor=executor)
        self._session: ort.InferenceSession | None = None

    def _load(self) -> None:
        self._session = load_session(self._files, self._graph, device="cpu", providers=_CPU, threads=self._info.threads)

    def _run(self, clips: UInt8Array) -> InferResult:
        if self._session is None:
            raise self._not_loaded()
        manifest = self._files.manifest
        return InferResult(*self._session.run([*manifest.outputs], {manifest.clip.name: clips}))

    def _drop(self) -> None:
        self._session = None


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
        raise ModelCorrupt(
            f"{graph_name(files, graph)} cannot be loaded: {exc}", hint="export the model again"
        ) from exc
    # Without a usable GPU, ONNX Runtime says so on standard error and goes on with the CPU, a hundred times slower.
    if wanted not in session.get_providers():
        raise DeviceMissing(
            f"device {device}: ONNX Runtime found no GPU that it can use",
            hint="start the container with --gpus all and a driver new enough for its CUDA, or use --device cpu",
        )
    manifest, where = files.manifest, graph_name(files, graph)
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
    found = (f"{t.name} {t.type} {t.shape}" for t in tensors)
    raise tensor_differs(where, what, name=name, kind=kind, shape=shape, found=found)
