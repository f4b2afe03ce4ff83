"""torch's opset to the contract's older one, node by node.

torch's exporter writes opset 18 at the least. A node whose meaning differs between the two and is not handled here is
an error: nothing is relabelled blindly.
"""

from __future__ import annotations

import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from laps_export.errors import GraphError
from laps_export.graph.tensor_contract import IR_VERSION, OPSET

EXPORTER_OPSET = 18
_REDUCTIONS = frozenset({"ReduceMax", "ReduceMean"})


def lower(proto: ModelProto) -> None:
    """Rewrite an opset 18 graph as opset 17, in place, without a word about the machine that wrote it.

    Raises:
        GraphError: `cannot_lower`.
    """
    constants = {tensor.name: tensor for tensor in proto.graph.initializer}
    for node in proto.graph.node:
        if node.op_type in _REDUCTIONS:
            _axes_to_attribute(node, constants)
        elif not _same_in_both(node):
            raise GraphError(f"{node.op_type} {node.name!r} has no equal in opset {OPSET}", code="cannot_lower")
    used = {name for node in proto.graph.node for name in node.input}
    kept = [tensor for tensor in proto.graph.initializer if tensor.name in used]
    del proto.graph.initializer[:]
    proto.graph.initializer.extend(kept)
    # Notes about the Python source lines of the machine that exported.
    del proto.metadata_props[:]
    for node in proto.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*proto.graph.value_info, *proto.graph.input, *proto.graph.output):
        del value.metadata_props[:]
    del proto.opset_import[:]
    proto.opset_import.append(helper.make_opsetid("", OPSET))
    proto.ir_version = IR_VERSION


def _axes_to_attribute(node: NodeProto, constants: dict[str, TensorProto]) -> None:
    """Opset 18 moved the axes of a reduction from an attribute to an input; move them back."""
    axes = numpy_helper.to_array(constants[node.input[1]]).tolist()
    keepdims = next((attribute.i for attribute in node.attribute if attribute.name == "keepdims"), 1)
    del node.input[1:]
    del node.attribute[:]
    node.attribute.append(helper.make_attribute("axes", axes))
    node.attribute.append(helper.make_attribute("keepdims", keepdims))


def _same_in_both(node: NodeProto) -> bool:
    if node.domain:
        return False
    versions = {onnx.defs.get_schema(node.op_type, version).since_version for version in (OPSET, EXPORTER_OPSET)}
    if len(versions) == 1:
        return True
    # These two only gained an option at 18: Split's num_outputs, and Pad's axes as fourth input.
    if node.op_type == "Split":
        return not any(attribute.name == "num_outputs" for attribute in node.attribute)
    return node.op_type == "Pad" and len(node.input) < 4
