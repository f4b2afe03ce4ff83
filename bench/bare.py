"""A model's engines with nothing around them: called directly, on the views of a real clip.

Which there are, and which of them the server may choose by itself, is the server's own rule; here it is held on the
views of the benchmark's clip.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime as ort

from laps_server.arrays import Float32Array, UInt8Array
from laps_server.engines import registry
from laps_server.engines.choices import Candidate
from laps_server.engines.machine import this_machine
from laps_server.engines.trial import Shift
from laps_server.models.manifest import Manifest
from laps_server.models.repository import ModelFiles
from laps_server.settings import Settings

REFERENCE = Candidate("ort", "float32")


class BareEngine(Protocol):
    """One engine at one precision and one batch size."""

    def run(self, clips: UInt8Array) -> Float32Array:
        """``[B, T, H, W, 3]`` -> logits ``[B, R, K]`` or ``[B, K]``."""
        ...

    def profile(self, clips: UInt8Array) -> dict[str, float]:
        """Share of a run's time by kind of operation, the largest first."""
        ...


def candidates(manifest: Manifest) -> list[Candidate]:
    """Whatever computes the model natively in this process, the reference first."""
    machine = this_machine("cpu")
    rows = registry.engine_rows(Settings(engine="auto"))
    found = [Candidate(row.name, precision) for row in rows for precision in row.precisions(manifest, machine)]
    return sorted(found, key=lambda candidate: candidate != REFERENCE)


def opened(candidate: Candidate, files: ModelFiles, *, threads: int, batch: int) -> BareEngine:
    """Load it."""
    graph = files.graph_of(candidate.precision)
    return _Ort(graph, threads) if candidate.engine == "ort" else _OpenVino(graph, candidate.precision, threads, batch)


def why_not(candidate: Candidate, manifest: Manifest, found: Shift) -> str | None:
    """Why the server would not choose it by itself, or None."""
    if candidate not in registry.candidates(manifest, Settings(), this_machine("cpu")):
        return "the manifest has no record that it holds"
    if not found.holds and candidate.precision != REFERENCE.precision:
        return f"{found.labels_changed} of the views' labels changed, a score moved by {found.largest:.3f}"
    return None


class _Ort:
    """ONNX Runtime at its best: threads that wait do not spin, which costs up to half of the processor's time."""

    def __init__(self, graph: Path, threads: int) -> None:
        self._graph, self._threads = graph, threads
        self._session = self._open(ort.SessionOptions())

    def _open(self, options: ort.SessionOptions) -> ort.InferenceSession:
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return ort.InferenceSession(str(self._graph), options, providers=["CPUExecutionProvider"])

    def run(self, clips: UInt8Array) -> Float32Array:
        logits: Float32Array = _run(self._session, clips)
        return logits

    def profile(self, clips: UInt8Array) -> dict[str, float]:
        with tempfile.TemporaryDirectory() as folder:
            options = ort.SessionOptions()
            options.enable_profiling, options.profile_file_prefix = True, str(Path(folder) / "profile")
            session = self._open(options)
            _run(session, clips)
            events = json.loads(Path(session.end_profiling()).read_text())
        spent: Counter[str] = Counter()
        for event in events:
            if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
                spent[event["args"]["op_name"]] += event["dur"]
        return _shares(spent)


def _run(session: ort.InferenceSession, clips: UInt8Array) -> Any:
    return session.run([session.get_outputs()[0].name], {session.get_inputs()[0].name: clips})[0]


class _OpenVino:
    """OpenVINO's CPU plugin with one stream, its precision as asked for and its shapes fixed."""

    def __init__(self, graph: Path, precision: str, threads: int, batch: int) -> None:
        self._graph, self._precision, self._threads, self._batch = graph, precision, threads, batch
        self._request = self._open(profiling=False).create_infer_request()

    def _open(self, *, profiling: bool) -> Any:
        import laps_server.engines.openvino  # noqa: F401, PLC0415 - it keeps OpenVINO from telling its makers
        import openvino as ov  # isort: skip  # noqa: PLC0415 - it may not be installed

        core = ov.Core()
        model = core.read_model(self._graph)
        model.reshape([self._batch, *list(model.inputs[0].partial_shape)[1:]])
        # What of an int8 graph is not quantised is computed as fast as it can be.
        between = "bf16" if this_machine("cpu").instruction_set("bfloat16") else "f32"
        options = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": "1",
            "INFERENCE_NUM_THREADS": str(self._threads),
            "INFERENCE_PRECISION_HINT": {"bfloat16": "bf16", "float16": "f16", "int8": between}.get(
                self._precision, "f32"
            ),
            "EXECUTION_MODE_HINT": "ACCURACY",
            "PERF_COUNT": "YES" if profiling else "NO",
        }
        return core.compile_model(model, "CPU", options)

    def run(self, clips: UInt8Array) -> Float32Array:
        result = self._request.infer({0: clips}, share_inputs=True)
        return np.array(result[0], np.float32)

    def profile(self, clips: UInt8Array) -> dict[str, float]:
        request = self._open(profiling=True).create_infer_request()
        request.infer({0: clips})
        request.infer({0: clips})  # the first run allocates
        spent: Counter[str] = Counter()
        for layer in request.profiling_info:
            spent[layer.node_type] += layer.real_time.total_seconds()
        return _shares(spent)


def _shares(spent: Counter[str]) -> dict[str, float]:
    total = sum(spent.values())
    return {name: round(value / total, 4) for name, value in spent.most_common(8)} if total else {}
