"""A model's engines with nothing around them: called directly, on the views of a real clip.

What each answers is compared with ONNX Runtime at float32 by the server's own rule at start: no view's best label
changed, no score of one moved by more than 0.05.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime as ort
from bench.machine import Machine

from laps_server.arrays import Float32Array, Float64Array, UInt8Array
from laps_server.models.repository import ModelFiles
from laps_server.scores import Scoring, clip_logits

MAX_SCORE_SHIFT = 0.05
# What a precision takes of the processor before OpenVINO computes in it; float32 is computed everywhere.
NATIVE = {"bfloat16": {"avx512_bf16", "amx_bf16"}, "float16": {"avx512_fp16", "amx_fp16"}}
REFERENCE = ("ort", "float32")


class BareEngine(Protocol):
    """One engine at one precision and one batch size."""

    def run(self, clips: UInt8Array) -> Float32Array:
        """``[B, T, H, W, 3]`` -> logits ``[B, R, K]`` or ``[B, K]``."""
        ...

    def profile(self, clips: UInt8Array) -> dict[str, float]:
        """Share of a run's time by kind of operation, the largest first."""
        ...


@dataclass(frozen=True)
class Candidate:
    """An engine and a precision that this machine computes natively for a model, and the file it runs."""

    engine: str
    precision: str
    graph: Path

    def open(self, threads: int, batch: int) -> BareEngine:
        """Load it."""
        if self.engine == "ort":
            return _Ort(self.graph, threads)
        return _OpenVino(self.graph, self.precision, threads, batch)


def candidates(files: ModelFiles, machine: Machine) -> list[Candidate]:
    """All of them, the reference first."""
    flags, listed = set(machine.instruction_sets), files.manifest.precisions
    found = [Candidate(*REFERENCE, files.graph)]
    if "openvino" in machine.packages:
        found.append(Candidate("openvino", "float32", files.graph))
        found += [Candidate("openvino", name, files.graph) for name, needs in NATIVE.items() if needs & flags]
    int8: Any = dict(listed).get("int8")
    if int8 is not None:
        engines = ("ort", "openvino") if "openvino" in machine.packages else ("ort",)
        found += [Candidate(engine, "int8", files.graph.with_name(int8.file)) for engine in engines]
    return found


def why_not(candidate: Candidate, files: ModelFiles, shift: float, changed: int) -> str | None:
    """Why the server may not choose it, or None."""
    if changed or shift > MAX_SCORE_SHIFT:
        return f"{changed} of the views' labels changed, a score moved by {shift:.3f}"
    if candidate.precision != "int8":
        return None
    int8: Any = dict(files.manifest.precisions)["int8"]
    records = [record for record in getattr(int8, "engines", None) or () if record.engine == candidate.engine]
    return None if any(record.holds for record in records) else "no record of its export says that it holds"


def shift(logits: Float32Array, reference: Float32Array, scoring: Scoring) -> tuple[float, int]:
    """The most that a view's leading score moved, and how many views have another label: of logits ``[V, ...]``."""
    scores, before = (scoring.probabilities(_rows(some)) for some in (logits, reference))
    leading = before.argmax(axis=1)
    places = np.arange(len(leading))
    moved = float(np.abs(scores[places, leading] - before[places, leading]).max())
    return moved, int((scores.argmax(axis=1) != leading).sum())


def _rows(logits: Float32Array) -> Float64Array:
    return clip_logits(logits)  # [V, K]


class _Ort:
    """ONNX Runtime with the server's options."""

    def __init__(self, graph: Path, threads: int) -> None:
        self._graph, self._threads = graph, threads
        self._session = self._open(ort.SessionOptions())

    def _open(self, options: ort.SessionOptions) -> ort.InferenceSession:
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.force_spinning_stop", "1")
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
        import openvino as ov  # noqa: PLC0415 - where it is not installed, it is no candidate

        core = ov.Core()
        model = core.read_model(self._graph)
        model.reshape([self._batch, *list(model.inputs[0].partial_shape)[1:]])
        exact = self._precision in {"float32", "int8"}
        options = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": "1",
            "INFERENCE_NUM_THREADS": str(self._threads),
            "EXECUTION_MODE_HINT": "ACCURACY" if exact else "PERFORMANCE",
            "INFERENCE_PRECISION_HINT": {"bfloat16": "bf16", "float16": "f16"}.get(self._precision, "f32"),
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
