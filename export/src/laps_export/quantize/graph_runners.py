"""A graph on each engine that a server may run it with, set as the server sets it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import openvino
from numpy.typing import NDArray

from laps_export.errors import GraphError
from laps_export.graph.tensor_contract import INPUT_NAME, OUTPUT_NAME
from laps_export.onnx_runtime import ort
from laps_export.repository.manifest import EngineName

Logits = NDArray[np.float32]
GraphRunner = Callable[[NDArray[np.uint8]], Logits]
"""uint8 `[B, T, H, W, 3]` to float32 `[B, S, K]` or `[B, K]`."""


def open_ort(path: Path) -> GraphRunner:
    """On ONNX Runtime's CPU provider.

    Raises:
        GraphError: `graph_does_not_run`.
    """
    try:
        session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    except Exception as exc:  # ONNX Runtime's exception types share no public base
        raise GraphError(f"{path.name} does not load in ONNX Runtime: {exc}", code="graph_does_not_run") from exc

    def run(clips: NDArray[np.uint8]) -> Logits:
        logits: Logits = session.run([OUTPUT_NAME], {INPUT_NAME: clips})[0]
        return logits

    return run


def open_openvino(path: Path) -> GraphRunner:
    """On OpenVINO's CPU device, float32 between the layers that are quantised, each batch size compiled for itself.

    Raises:
        GraphError: `graph_does_not_run`.
    """
    core = openvino.Core()
    settings = {"INFERENCE_PRECISION_HINT": "f32", "EXECUTION_MODE_HINT": "ACCURACY", "PERFORMANCE_HINT": "LATENCY"}
    compiled: dict[int, openvino.CompiledModel] = {}
    try:
        model = core.read_model(path)
    except Exception as exc:  # OpenVINO raises RuntimeError and what its readers raise
        raise GraphError(f"{path.name} does not load in OpenVINO: {exc}", code="graph_does_not_run") from exc

    def run(clips: NDArray[np.uint8]) -> Logits:
        size = len(clips)
        if size not in compiled:
            fixed = model.clone()
            shape = fixed.input(INPUT_NAME).partial_shape
            shape[0] = size
            fixed.reshape({INPUT_NAME: shape})
            compiled[size] = core.compile_model(fixed, "CPU", settings)
        logits: Logits = compiled[size]({INPUT_NAME: np.ascontiguousarray(clips)})[OUTPUT_NAME].copy()
        return logits

    return run


GRAPH_RUNNERS: Mapping[EngineName, Callable[[Path], GraphRunner]] = MappingProxyType(
    {"openvino": open_openvino, "ort": open_ort}
)
"""The fastest with int8 first: layers are chosen by it."""


def run_views(
    run: GraphRunner, views: NDArray[np.uint8], *, batch: int, on_views: Callable[[int], None] = lambda _done: None
) -> Logits:
    """Logits `[V, ...]` of views `[V, T, H, W, 3]`, which may lie on disk, `batch` of them at a time."""
    logits = []
    for start in range(0, len(views), batch):
        logits.append(run(np.asarray(views[start : start + batch])))
        on_views(start + len(logits[-1]))
    return np.concatenate(logits)
