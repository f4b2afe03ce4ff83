"""OpenVINO in this process, on the CPU, in a precision that is said and not guessed.

Each batch size is compiled for itself: with a size that is left open, the same graph took 1.2 to 1.4 times the
processor. Left to itself, OpenVINO computes in bfloat16 wherever the processor knows it, so float32 is asked for by
name.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from laps_server.arrays import UInt8Array
from laps_server.engines.base import InferResult
from laps_server.engines.choices import Precision
from laps_server.engines.one_thread import OneThreadEngine, graph_name, tensor_differs
from laps_server.errors import ModelCorrupt
from laps_server.models.repository import ModelFiles

# Its import starts a process that tells a host of Google's about it, by a package that it can do without.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino as ov  # noqa: E402

_DEVICE = "CPU"
# Of an int8 graph, what is between its quantised layers: as when the exporter measured whether its answers hold.
_TYPES: dict[Precision, str] = {"float32": "f32", "bfloat16": "bf16", "float16": "f16", "int8": "f32"}


class OpenVinoEngine(OneThreadEngine):
    """One graph, compiled once a batch size."""

    def __init__(
        self,
        files: ModelFiles,
        *,
        precision: Precision,
        threads: int,
        executor: ThreadPoolExecutor,
    ) -> None:
        """See :class:`laps_server.engines.one_thread.OneThreadEngine`.

        ``precision`` is one that is computed natively: OpenVINO does not complain of another.
        """
        super().__init__(files, name="openvino", precision=precision, threads=threads, executor=executor)
        self._core = ov.Core()
        self._type = _TYPES[precision]
        self._model: ov.Model | None = None
        self._requests: dict[int, ov.InferRequest] = {}  # by batch size

    def _load(self) -> None:
        path = str(self._graph.resolve(strict=True))
        try:
            model = self._core.read_model(path)
        except Exception as exc:  # OpenVINO raises RuntimeError and what its readers raise
            raise ModelCorrupt(f"{self._where()} cannot be loaded: {exc}", hint="export the model again") from exc
        manifest = self._files.manifest
        self._check_tensor("input", model.inputs, manifest.clip.name, ov.Type.u8, self._info.clip_shape)
        for name, shape in manifest.outputs.items():
            self._check_tensor("output", model.outputs, name, ov.Type.f32, shape)
        self._model = model

    def _check_tensor(
        self, what: str, tensors: list[ov.Output], name: str, kind: ov.Type, expected: tuple[int, ...]
    ) -> None:
        for tensor in tensors:
            if name in tensor.names and tensor.element_type == kind and _sizes(tensor) == expected:
                return
        found = (f"{t.any_name} {t.element_type.get_type_name()} {t.partial_shape}" for t in tensors)
        raise tensor_differs(self._where(), what, name=name, kind=kind.get_type_name(), shape=expected, found=found)

    def _compile(self, size: int) -> ov.InferRequest:
        """The graph for batches of ``size`` views, in as many threads as were asked for, one batch at a time."""
        if self._model is None:
            raise self._not_loaded()
        model = self._model.clone()
        shape = model.inputs[0].partial_shape
        shape[0] = size
        properties = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": self._info.threads,
            # Decoders run on the same cores, so no thread is held to one of them.
            "ENABLE_CPU_PINNING": False,
            "INFERENCE_PRECISION_HINT": self._type,
            # Nothing beyond that type may be made coarser.
            "EXECUTION_MODE_HINT": "ACCURACY",
        }
        try:
            model.reshape({model.inputs[0]: shape})
            return self._core.compile_model(model, _DEVICE, properties).create_infer_request()
        except Exception as exc:  # as in _load
            raise ModelCorrupt(f"{self._where()} cannot be compiled: {exc}", hint="export the model again") from exc

    def _run(self, clips: UInt8Array) -> InferResult:
        size = len(clips)
        if size not in self._requests:
            self._requests[size] = self._compile(size)
        request = self._requests[size]
        request.infer([np.ascontiguousarray(clips)], share_inputs=True)
        return InferResult(*(request.get_tensor(name).data.copy() for name in self._files.manifest.outputs))

    def _drop(self) -> None:
        self._requests.clear()
        self._model = None

    def _where(self) -> str:
        return graph_name(self._files, self._graph)


def _sizes(tensor: ov.Output) -> tuple[int, ...]:
    """All sizes of a tensor but the first; -1 for one that is left open."""
    return tuple(-1 if size.is_dynamic else size.get_length() for size in list(tensor.partial_shape)[1:])
