"""A float32 graph to its float16-typed twin, for builders that compute in the types a graph declares.

TensorRT's strongly typed networks, the only kind since version 11, take every precision from the graph. The twin
keeps the tensor contract: uint8 in, float32 out, Cast and Transpose first. Where it changes types is the family's to
say: the pixels' normalisation, whose 255 steps float16 would blur, stays in float32, and so does what follows the last
residual, which costs nothing and decides the answer.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from laps_export.errors import GraphError
from laps_export.families.family import Float16Span
from laps_export.graph.tensor_contract import TensorContract, check_onnx

_SUFFIX = "_float16"


def convert_to_float16(source: Path, target: Path, *, contract: TensorContract, span: Float16Span) -> None:
    """Write the float16-typed twin of an exported graph.

    Args:
        source: a graph of `export_onnx`.
        target: the file to write; its folder exists.
        contract: what both declare.
        span: what becomes float16.

    Raises:
        GraphError: `cannot_convert`, the graph is not laid out as an exported one or a weight has no float16.
    """
    proto = onnx.load(str(source), load_external_data=False)
    _convert(proto, span)
    onnx.save_model(onnx.shape_inference.infer_shapes(proto, strict_mode=True), target)
    check_onnx(target, contract)


def _convert(proto: ModelProto, span: Float16Span) -> None:
    nodes = list(proto.graph.node)
    first = _index_of(nodes, span.first)
    last = _index_of(nodes, span.end)
    if not 0 < first < last:
        raise GraphError(
            f"the graph does not lead from {span.first} to {span.end}",
            code="cannot_convert",
        )
    half = nodes[first:last]
    for node in half:
        if node.op_type in ("Cast", "Constant") or any(a.HasField("t") or a.HasField("g") for a in node.attribute):
            raise GraphError(f"{node.op_type} {node.name!r} carries a type of its own", code="cannot_convert")
    weights = {tensor.name: tensor for tensor in proto.graph.initializer if tensor.data_type == TensorProto.FLOAT}
    halved = _halve_weights(proto, half, weights)
    before = {name for node in nodes[:first] for name in node.output}
    within = {name for node in half for name in node.output}
    # What crosses a border is cast there, once: into float16 from the normalised pixels, out of it to mean and head.
    into = _cross(half, before, TensorProto.FLOAT16)
    for node in half:
        for i, name in enumerate(node.input):
            node.input[i] = halved.get(name, name)
    out_of = _cross(nodes[last:], within, TensorProto.FLOAT)
    del proto.graph.node[:]
    proto.graph.node.extend([*nodes[:first], *into, *half, *out_of, *nodes[last:]])
    # Inferred again from the new types.
    del proto.graph.value_info[:]


def _index_of(nodes: list[NodeProto], operator: str) -> int:
    return next((i for i, node in enumerate(nodes) if node.op_type == operator), -1)


def _cross(readers: list[NodeProto], outside: set[str], to: int) -> list[NodeProto]:
    """Casts of what `readers` read from `outside`; the readers are rewired to them."""
    casts: dict[str, NodeProto] = {}
    for node in readers:
        for i, name in enumerate(node.input):
            if name in outside:
                result = f"{name}_as_{TensorProto.DataType.Name(to).lower()}"
                casts.setdefault(name, helper.make_node("Cast", [name], [result], name=result, to=to))
                node.input[i] = result
    return list(casts.values())


def _halve_weights(proto: ModelProto, half: list[NodeProto], weights: dict[str, TensorProto]) -> dict[str, str]:
    """Add float16 twins of the weights that `half` reads; drop those that nobody else reads. Old name to new."""
    wanted = {name for node in half for name in node.input if name in weights}
    elsewhere = {name for node in proto.graph.node if node not in half for name in node.input}
    for name in sorted(wanted):
        values = numpy_helper.to_array(weights[name])
        with np.errstate(over="ignore"):
            small = values.astype(np.float16)
        if not np.isfinite(small).all():
            raise GraphError(
                f"weight {name!r} reaches {np.abs(values).max():.3g}, which float16 cannot hold",
                code="cannot_convert",
                hint="--precision float32",
            )
        proto.graph.initializer.append(numpy_helper.from_array(small, name + _SUFFIX))
        if name not in elsewhere:
            proto.graph.initializer.remove(weights[name])
    return {name: name + _SUFFIX for name in wanted}
