"""The tensor contract, which lets one ONNX file serve every engine, and the check that a file keeps it.

Input `clips` uint8 `[B, T, H, W, 3]` with B free, output `frame_logits` float32 `[B, S, K]` or, for one answer a clip,
`[B, K]`, and where a model has one, `embedding` float32 `[B, D]`; the graph begins with Cast, then Transpose;
normalisation is inside; opset 17, IR version 8, one file without external data.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import ModelProto, NodeProto, TensorProto

from laps_export.errors import GraphError
from laps_export.families.family import VideoModel

INPUT_NAME = "clips"
OUTPUT_NAME = "frame_logits"
EMBEDDING_NAME = "embedding"
OPSET = 17
IR_VERSION = 8
"""What belongs to opset 17; Triton's ONNX Runtime reads up to 9."""


@dataclass(frozen=True, kw_only=True)
class TensorContract:
    """What a graph must declare.

    Attributes:
        frames: T.
        height: H in pixels.
        width: W in pixels.
        classes: K.
        steps: S, rows of logits along time; None for one answer a clip.
        embedding: D; None where the graph has no such output.
    """

    frames: int
    height: int
    width: int
    classes: int
    steps: int | None
    embedding: int | None = None

    @classmethod
    def of(cls, model: VideoModel) -> TensorContract:
        """The contract of a model's graph."""
        config = model.config
        return cls(
            frames=config.frames,
            height=config.resolution,
            width=config.resolution,
            classes=config.classes,
            steps=model.steps,
            embedding=model.embedding,
        )

    @property
    def clip_shape(self) -> tuple[int, int, int, int]:
        """`(T, H, W, 3)`."""
        return self.frames, self.height, self.width, 3

    @property
    def output_shape(self) -> tuple[int, ...]:
        """`(S, K)` or `(K,)`: the output without its batch."""
        return (self.classes,) if self.steps is None else (self.steps, self.classes)

    @property
    def outputs(self) -> dict[str, tuple[int, ...]]:
        """All outputs in order, each without its batch."""
        more = {} if self.embedding is None else {EMBEDDING_NAME: (self.embedding,)}
        return {OUTPUT_NAME: self.output_shape} | more


def check_onnx(path: Path, contract: TensorContract) -> None:
    """Raise `GraphError` unless the file is valid ONNX and keeps the contract."""
    try:
        onnx.checker.check_model(str(path), full_check=True)
        proto = onnx.load(str(path), load_external_data=False)
    except Exception as exc:  # onnx raises several unrelated types, protobuf's among them
        raise GraphError(f"{path.name} is not a valid ONNX file: {exc}", code="invalid_onnx") from exc
    found = _facts(proto)
    wanted = {
        "inputs": f"{INPUT_NAME} uint8 [B, {', '.join(map(str, contract.clip_shape))}]",
        "outputs": ", ".join(
            f"{name} float [B, {', '.join(map(str, shape))}]" for name, shape in contract.outputs.items()
        ),
        "opset": str(OPSET),
        "first operators": "Cast, Transpose",
        "external data": "none",
    }
    for what, value in wanted.items():
        if found[what] != value:
            raise GraphError(f"{path.name}: {what}: {found[what]}", code="contract_broken", hint=f"must be: {value}")
    if proto.ir_version > IR_VERSION + 1:
        raise GraphError(f"{path.name}: IR version {proto.ir_version}", code="contract_broken", hint="at most 9")


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
