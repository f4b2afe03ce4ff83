"""A float32 graph to one that multiplies int8, by NNCF: quantised weights, and activations in measured ranges.

What lies before the first product, the pixels' cast and normalisation, always stays as it is: a graph takes uint8.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterable, Iterator, Sequence, Set
from pathlib import Path

import nncf
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto

from laps_export.errors import GraphError
from laps_export.graph.tensor_contract import INPUT_NAME

PRODUCTS = frozenset({"Conv", "Gemm", "MatMul"})
"""What is worth int8: nearly all of a network's operations."""

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

    The others are a group of their own since they are sums above all: of a network with residuals, where every layer
    adds to what is rounded to 256 steps again and again, they can hurt more than any product, and gain the least.

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
    dataset = nncf.Dataset(_Samples(views))
    try:
        with _quiet():
            quantized: ModelProto = nncf.quantize(
                copy,
                dataset,
                subset_size=len(views),
                # Smooth quantisation, and attention's products as they bear it.
                model_type=nncf.ModelType.TRANSFORMER if _is_transformer(proto) else None,
                preset=nncf.QuantizationPreset.MIXED,
                ignored_scope=nncf.IgnoredScope(names=sorted(kept), validate=False),
            )
    except Exception as exc:  # NNCF raises RuntimeError, its own and ONNX Runtime's
        raise GraphError(f"NNCF cannot quantise the graph: {exc}", code="cannot_quantize") from exc
    quantized.producer_name = proto.producer_name
    onnx.checker.check_model(quantized)
    return quantized


def without_quantizers(quantized: ModelProto, names: Iterable[str]) -> ModelProto:
    """The quantised graph with the activations that these nodes read as they were; a guess of what NNCF would make.

    It costs nothing, where NNCF measures all activations again. Weights stay quantised, which harms far less.
    """
    changed = ModelProto()
    changed.CopyFrom(quantized)
    made = {output: node for node in changed.graph.node for output in node.output}
    wanted = set(names)
    for node in changed.graph.node:
        if node.name in wanted:
            for place, name in enumerate(node.input):
                node.input[place] = _before_quantizer(name, made)
    return changed


def _before_quantizer(name: str, made: dict[str, NodeProto]) -> str:
    back = made.get(name)
    if back is None or back.op_type != "DequantizeLinear":
        return name
    there = made.get(back.input[0])
    return name if there is None or there.op_type != "QuantizeLinear" else there.input[0]


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
