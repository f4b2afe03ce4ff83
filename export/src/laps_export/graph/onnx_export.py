"""A torch model to one ONNX file that every engine reads.

The tensor contract: input `clips` uint8 `[B, T, H, W, 3]` with B free, output `frame_logits` float32
`[B, T, K]`; the graph begins with Cast, then Transpose; normalisation is inside; opset 17, IR version 8,
one file without external data.

torch's exporter writes opset 18 at the least. It is lowered here, node by node, and a node whose meaning
differs between the two and is not handled is an error: nothing is relabelled blindly.
"""

from __future__ import annotations

import contextlib
import io
import logging
import math
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnxscript import opset18 as ops
from torch import Tensor, nn

from laps_export.errors import GraphError
from laps_export.families.laps.folding import fold_batch_norm
from laps_export.families.laps.visformer import Laps
from laps_export.families.normalise import Normalise

INPUT_NAME = "clips"
OUTPUT_NAME = "frame_logits"
EMBEDDING_NAME = "embedding"
OPSET = 17
IR_VERSION = 8
"""What belongs to opset 17; Triton's ONNX Runtime reads up to 9."""

_EXPORTER_OPSET = 18
_TRACE_BATCH = 2  # a traced batch of 1 would be taken for a constant


class ServedModel(nn.Module):
    """The network behind its tensor contract: pixels in, frame logits out."""

    def __init__(self, network: Laps) -> None:
        super().__init__()
        self.normalise = Normalise()
        self.network = network

    def forward(self, clips: Tensor) -> Tensor:
        """uint8 RGB `[B, T, H, W, 3]` to float32 `[B, T, K]`."""
        logits: Tensor = self.network(self.normalise(clips))
        return logits


@dataclass(frozen=True)
class TensorContract:
    """What a graph must declare.

    Attributes:
        frames: T.
        height: H in pixels.
        width: W in pixels.
        classes: K.
        embedding: D of a second output `embedding` float32 `[B, D]`; None where there is none.
    """

    frames: int
    height: int
    width: int
    classes: int
    embedding: int | None = None

    @classmethod
    def of(cls, model: Laps) -> TensorContract:
        """The contract of a model's graph."""
        config = model.config
        return cls(config.frames, config.resolution, config.resolution, config.classes)


def export_onnx(model: Laps, path: Path) -> None:
    """Write `model` as one ONNX file that keeps the tensor contract.

    Args:
        model: any mode; what is written is its evaluation.
        path: the file to write; its folder exists.

    Raises:
        GraphError: torch wrote something that cannot be lowered, or the contract is broken.
    """
    proto = _trace(ServedModel(fold_batch_norm(model)), TensorContract.of(model))
    _lower(proto)
    proto.producer_name = "laps-export"
    proto.graph.name = "laps"
    onnx.save_model(proto, path)
    check_onnx(path, TensorContract.of(model))


def check_onnx(path: Path, contract: TensorContract) -> None:
    """Raise `GraphError` unless the file is valid ONNX and keeps the contract."""
    try:
        onnx.checker.check_model(str(path), full_check=True)
        proto = onnx.load(str(path), load_external_data=False)
    except Exception as exc:  # onnx raises several unrelated types, protobuf's among them
        raise GraphError(f"{path.name} is not a valid ONNX file: {exc}", code="invalid_onnx") from exc
    found = _facts(proto)
    shape = f"[B, {contract.frames}, {contract.height}, {contract.width}, 3]"
    wanted = {
        "inputs": f"{INPUT_NAME} uint8 {shape}",
        "outputs": f"{OUTPUT_NAME} float [B, {contract.frames}, {contract.classes}]"
        + ("" if contract.embedding is None else f", {EMBEDDING_NAME} float [B, {contract.embedding}]"),
        "opset": str(OPSET),
        "first operators": "Cast, Transpose",
        "external data": "none",
    }
    for what, value in wanted.items():
        if found[what] != value:
            raise GraphError(f"{path.name}: {what}: {found[what]}", code="contract_broken", hint=f"must be: {value}")
    if proto.ir_version > IR_VERSION + 1:
        raise GraphError(f"{path.name}: IR version {proto.ir_version}", code="contract_broken", hint="at most 9")


def _trace(served: ServedModel, contract: TensorContract) -> ModelProto:
    clips = torch.zeros(_TRACE_BATCH, contract.frames, contract.height, contract.width, 3, dtype=torch.uint8)
    with _quiet():
        program = torch.onnx.export(
            served.eval(),
            (clips,),
            dynamo=True,
            dynamic_shapes={INPUT_NAME: {0: torch.export.Dim("B")}},
            input_names=[INPUT_NAME],
            output_names=[OUTPUT_NAME],
            opset_version=_EXPORTER_OPSET,
            external_data=False,
            custom_translation_table={torch.ops.aten.gelu.default: _gelu},
            verbose=False,
        )
    if program is None:
        raise GraphError("torch's exporter returned nothing", code="export_failed")
    return program.model_proto


def _gelu(x: Any, approximate: str = "none") -> Any:
    """Exact GELU in the order of operations that ONNX Runtime and TensorRT recognise and fuse.

    torch's own translation halves first, `x * (0.5 * (1 + erf))`, which no fusion matches; it makes the
    whole network a fifth slower on a CPU.
    """
    if approximate != "none":
        raise GraphError(f"GELU with approximation {approximate!r}", code="cannot_lower")
    erf = ops.Erf(ops.Div(x, ops.Constant(value_float=math.sqrt(2.0))))
    one, half = ops.Constant(value_float=1.0), ops.Constant(value_float=0.5)
    return ops.Mul(ops.Mul(x, ops.Add(erf, one)), half)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's chatter about itself away from the user; its errors still come through."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _lower(proto: ModelProto) -> None:
    """Rewrite an opset 18 graph as opset 17, in place."""
    constants = {tensor.name: tensor for tensor in proto.graph.initializer}
    for node in proto.graph.node:
        if node.op_type == "ReduceMean":
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
    versions = {onnx.defs.get_schema(node.op_type, version).since_version for version in (OPSET, _EXPORTER_OPSET)}
    if len(versions) == 1:
        return True
    # These two only gained an option at 18: Split's num_outputs, and Pad's axes as fourth input.
    if node.op_type == "Split":
        return not any(attribute.name == "num_outputs" for attribute in node.attribute)
    return node.op_type == "Pad" and len(node.input) < 4


def _facts(proto: ModelProto) -> dict[str, str]:
    graph = proto.graph
    external = [tensor.name for tensor in graph.initializer if tensor.data_location == TensorProto.EXTERNAL]
    return {
        "inputs": ", ".join(_describe(value) for value in graph.input),
        "outputs": ", ".join(_describe(value) for value in graph.output),
        "opset": ", ".join(
            str(opset.version) if not opset.domain else f"{opset.domain} {opset.version}"
            for opset in proto.opset_import
        ),
        "first operators": ", ".join(_first_operators(graph.node, graph.input[0].name if graph.input else "")),
        "external data": ", ".join(external) or "none",
    }


def _describe(value: onnx.ValueInfoProto) -> str:
    tensor = value.type.tensor_type
    dims = [dim.dim_param or str(dim.dim_value) for dim in tensor.shape.dim]
    if dims and tensor.shape.dim[0].dim_param:
        dims[0] = "B"
    return f"{value.name} {TensorProto.DataType.Name(tensor.elem_type).lower()} [{', '.join(dims)}]"


def _first_operators(nodes: Iterable[NodeProto], name: str) -> list[str]:
    """The operators on the input's way, as far as the contract speaks of them."""
    found = []
    for _ in range(2):
        readers = [node for node in nodes if name in node.input]
        found.append("+".join(node.op_type for node in readers))
        name = readers[0].output[0] if readers else ""
    return found
