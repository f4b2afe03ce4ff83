"""A float32 graph to one that multiplies int8, by NNCF: quantised weights, and activations in measured ranges.

What lies before the first product, the pixels' cast and normalisation, always stays as it is: a graph takes uint8.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator, Sequence, Set
from pathlib import Path
from typing import Any

import nncf
import numpy as np
import onnx
from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters, AdvancedSmoothQuantParameters
from nncf.quantization.range_estimator import RangeEstimatorParametersSet
from numpy.typing import NDArray
from onnx import ModelProto

from laps_export.errors import GraphError
from laps_export.graph.tensor_contract import INPUT_NAME

PRODUCTS = frozenset({"Conv", "Gemm", "MatMul"})
"""What is worth int8: nearly all of a network's operations."""

_AS_TRAINED = ".as_trained"

_SMOOTH_CONVOLUTIONS = 0.5
_SMOOTH_PRODUCTS = 0.95
"""Of smooth quantisation: how much of the activations' range moves into the weights. NNCF has the second by default and
leaves convolutions alone; but those of pointwise convolutions are where LAPS has its outliers."""

LayerGroup = frozenset[str]
"""Names of nodes that are quantised together or not at all."""


def read_graph(path: Path) -> ModelProto:
    """A float32 graph whose nodes all have names of their own, by which they can be left out."""
    proto = onnx.load(str(path), load_external_data=False)
    taken: set[str] = set()
    for place, node in enumerate(proto.graph.node):
        if not node.name or node.name in taken:
            node.name = f"{node.op_type}_at_{place}"
        taken.add(node.name)
    return proto


def layer_groups(proto: ModelProto, count: int) -> list[LayerGroup]:
    """Products that follow each other, in at most `count` groups of as many; last, all other nodes behind the first.

    The others are a group of their own since they are sums above all, which gain the least in int8.

    Raises:
        GraphError: `cannot_quantize`, there is no product.
    """
    nodes = list(proto.graph.node)
    places = [place for place, node in enumerate(nodes) if node.op_type in PRODUCTS]
    if not places:
        raise GraphError("the graph has no convolution and no matrix product", code="cannot_quantize")
    parts = np.array_split(places, min(count, len(places)))
    others = frozenset(node.name for node in nodes[places[0] :] if node.op_type not in PRODUCTS)
    return [*(frozenset(nodes[place].name for place in part) for part in parts), others]


def quantize(proto: ModelProto, views: NDArray[np.uint8], *, in_float: Set[str] = frozenset()) -> ModelProto:
    """The graph in int8 but for the nodes named; calibrated on views `[V, T, H, W, 3]`, one at a time.

    Raises:
        GraphError: `cannot_quantize`.
    """
    first = next(place for place, node in enumerate(proto.graph.node) if node.op_type in PRODUCTS)
    kept = {node.name for node in proto.graph.node[:first]} | in_float
    copy = ModelProto()
    copy.CopyFrom(proto)
    try:
        with _quiet():
            quantized: ModelProto = nncf.quantize(
                copy,
                nncf.Dataset(_Samples(views)),
                subset_size=len(views),
                preset=nncf.QuantizationPreset.MIXED,
                ignored_scope=nncf.IgnoredScope(names=sorted(kept), validate=False),
                **(_for_transformers() if _is_transformer(proto) else {}),
            )
    except Exception as exc:  # NNCF raises RuntimeError, its own and ONNX Runtime's
        raise GraphError(f"NNCF cannot quantise the graph: {exc}", code="cannot_quantize") from exc
    quantized.producer_name = proto.producer_name
    onnx.checker.check_model(quantized)
    return quantized


def in_float_again(quantized: ModelProto, source: ModelProto, names: Set[str]) -> ModelProto:
    """The quantised graph with these nodes as they were in `source`: a guess of what NNCF would make without them.

    It costs nothing, where NNCF measures all activations again. Each node reads what it read before, weights included:
    NNCF leaves nodes and their outputs their names.
    """
    changed = ModelProto()
    changed.CopyFrom(quantized)
    before = {node.name: node for node in source.graph.node if node.name in names}
    constants = {tensor.name: tensor for tensor in source.graph.initializer}
    taken: set[str] = set()
    for node in changed.graph.node:
        if node.name not in before:
            continue
        inputs = list(before[node.name].input)
        # Under names of their own, since biases that NNCF corrected have kept theirs.
        taken.update(name for name in inputs if name in constants)
        node.ClearField("input")
        node.input.extend(f"{name}{_AS_TRAINED}" if name in constants else name for name in inputs)
    for name in sorted(taken):
        tensor = changed.graph.initializer.add()
        tensor.CopyFrom(constants[name])
        tensor.name = f"{name}{_AS_TRAINED}"
    return changed


def _for_transformers() -> dict[str, Any]:
    """Smooth quantisation, attention's products as they bear it, and ranges that cut nothing off."""
    return {
        "model_type": nncf.ModelType.TRANSFORMER,
        "advanced_parameters": AdvancedQuantizationParameters(
            activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX,
            smooth_quant_alphas=AdvancedSmoothQuantParameters(
                convolution=_SMOOTH_CONVOLUTIONS, matmul=_SMOOTH_PRODUCTS
            ),
        ),
    }


def _is_transformer(proto: ModelProto) -> bool:
    """Attention multiplies activations with activations."""
    constants = {tensor.name for tensor in proto.graph.initializer}
    return any(node.op_type == "MatMul" and not constants & set(node.input) for node in proto.graph.node)


class _Samples(Sequence[dict[str, NDArray[np.uint8]]]):
    """Views as NNCF feeds them, read from disk as it comes to them."""

    def __init__(self, views: NDArray[np.uint8]) -> None:
        self._views = views

    def __len__(self) -> int:
        return len(self._views)

    def __getitem__(self, place: int) -> dict[str, NDArray[np.uint8]]:  # type: ignore[override]
        if place >= len(self._views):
            raise IndexError(place)
        return {INPUT_NAME: np.asarray(self._views[place : place + 1])}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep NNCF's own bars and notes away from the user; its errors still come through."""
    logger = logging.getLogger("nncf")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
