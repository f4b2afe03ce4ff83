"""Graphs whose weights lie in other files are found, wherever in the graph their tensors are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from laps_server.errors import ModelCorrupt
from laps_server.models.external_data import refuse_external_data
from support.model_repositories import colour_graph


def external(name: str = "weight") -> TensorProto:
    tensor = numpy_helper.from_array(np.zeros((2, 2), np.float32), name)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "../../../../etc/hostname"), ("length", "16")):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return tensor


def graph_with(tensor: TensorProto) -> onnx.GraphProto:
    return helper.make_graph([], "inner", [], [], [tensor])


def in_initializer(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(external())


def in_constant(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Constant", [], ["c"], value=external()))


def in_branch(model: onnx.ModelProto) -> None:
    node = helper.make_node("If", ["flag"], ["out"], then_branch=graph_with(external()), else_branch=onnx.GraphProto())
    model.graph.node.append(node)


def in_sparse(model: onnx.ModelProto) -> None:
    model.graph.sparse_initializer.add().values.CopyFrom(external())


def in_function(model: onnx.ModelProto) -> None:
    model.functions.add().node.append(helper.make_node("Constant", [], ["c"], value=external()))


def in_training(model: onnx.ModelProto) -> None:
    model.training_info.add().algorithm.CopyFrom(graph_with(external()))


def only_said(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer.add()
    tensor.data_location = TensorProto.EXTERNAL


def only_named(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer.add()
    tensor.external_data.add().key = "location"


@pytest.mark.parametrize(
    "put",
    [in_initializer, in_constant, in_branch, in_sparse, in_function, in_training, only_said, only_named],
    ids=lambda put: put.__name__,
)
def test_external_data_is_found(tmp_path: Path, put: Callable[[onnx.ModelProto], None]) -> None:
    model = colour_graph(frames=4, size=32, classes=4)
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    refuse_external_data(path, "a/1/model.onnx")
    put(model)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelCorrupt, match=r"^a/1/model\.onnx draws weights from other files"):
        refuse_external_data(path, "a/1/model.onnx")


def nested(depth: int) -> bytes:
    """Graphs in graphs: field 7 of a model, then node, attribute, graph and so on."""
    content = b""
    for _ in range(depth):
        for tag in (0x32, 0x2A, 0x0A):  # AttributeProto.g, NodeProto.attribute, GraphProto.node
            size = len(content)
            length = bytes([size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14])
            content = bytes([tag]) + length + content
    size = len(content)
    return b"\x3a" + bytes([size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14]) + content


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\x3a\x7f", id="cut off"),
        pytest.param(b"\x80", id="number cut off"),
        pytest.param(b"\xff" * 20, id="endless number"),
        pytest.param(b"\x3b\x3c", id="group"),
        pytest.param(nested(60), id="too deep"),
    ],
)
def test_what_is_no_graph_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelCorrupt, match="it is no ONNX graph"):
        refuse_external_data(path, "a/1/model.onnx")
