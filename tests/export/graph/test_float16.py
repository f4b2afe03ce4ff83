from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from laps_export.errors import GraphError, ParityError
from laps_export.families.family import Float16Span
from laps_export.graph.float16 import convert_to_float16
from laps_export.graph.parity import FLOAT16_GATE, ParityGate, check_twin
from support.small_laps import CONTRACT

SPAN = Float16Span(first="Conv", end="ReduceMean")


@pytest.fixture
def twin(small_graph: Path, tmp_path: Path) -> Path:
    path = tmp_path / "half.onnx"
    convert_to_float16(small_graph, path, contract=CONTRACT, span=SPAN)
    return path


def _types(path: Path) -> dict[str, int]:
    graph = onnx.shape_inference.infer_shapes(onnx.load(path), strict_mode=True).graph
    values = (*graph.value_info, *graph.input, *graph.output)
    found = {value.name: value.type.tensor_type.elem_type for value in values}
    return found | {tensor.name: tensor.data_type for tensor in graph.initializer}


def test_it_computes_what_its_source_computes(small_graph: Path, twin: Path) -> None:
    parity = check_twin(small_graph, twin, contract=CONTRACT, gate=FLOAT16_GATE)
    assert 0 < parity.max_abs_diff <= FLOAT16_GATE.tolerance
    assert twin.stat().st_size < 0.6 * small_graph.stat().st_size


def test_products_are_float16_and_pixels_and_head_are_not(twin: Path) -> None:
    types = _types(twin)
    nodes = onnx.load(twin).graph.node
    for node in nodes:
        floats = {types[name] for name in (*node.input, *node.output)} - {TensorProto.INT64, TensorProto.UINT8}
        if node.op_type in ("Conv", "MatMul", "Softmax", "Erf"):
            assert floats == {TensorProto.FLOAT16}, node.name
        if node.op_type in ("ReduceMean", "Gemm"):
            assert floats == {TensorProto.FLOAT}, node.name
        if node.op_type != "Cast":
            assert len(floats) <= 1, f"{node.name} mixes types, which a strongly typed network refuses"
    casts = [node.attribute[0].i for node in nodes if node.op_type == "Cast"]
    assert casts == [TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.FLOAT]


def test_a_weight_that_float16_cannot_hold_is_named(small_graph: Path, tmp_path: Path) -> None:
    proto = onnx.load(small_graph)
    weight = next(t for t in proto.graph.initializer if t.name.endswith("conv1.weight"))
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) + np.float32(1e5), weight.name))
    onnx.save_model(proto, tmp_path / "large.onnx")
    with pytest.raises(GraphError, match=weight.name) as caught:
        convert_to_float16(tmp_path / "large.onnx", tmp_path / "half.onnx", contract=CONTRACT, span=SPAN)
    assert caught.value.code == "cannot_convert"
    assert "float32" in caught.value.hint


def test_a_graph_of_another_layout_is_refused(small_graph: Path, tmp_path: Path) -> None:
    proto = onnx.load(small_graph)
    next(node for node in proto.graph.node if node.op_type == "ReduceMean").op_type = "ReduceMax"
    onnx.save_model(proto, tmp_path / "odd.onnx")
    with pytest.raises(GraphError) as caught:
        convert_to_float16(tmp_path / "odd.onnx", tmp_path / "half.onnx", contract=CONTRACT, span=SPAN)
    assert caught.value.code == "cannot_convert"


def test_the_gate_finds_another_models_graph(small_graph: Path, twin: Path, tmp_path: Path) -> None:
    proto = onnx.load(twin)
    weight = next(t for t in proto.graph.initializer if "stage1" in t.name and t.name.endswith("_float16"))
    weight.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(weight), weight.name))
    onnx.save_model(proto, tmp_path / "other.onnx")
    with pytest.raises(ParityError):
        check_twin(
            small_graph, tmp_path / "other.onnx", contract=CONTRACT, gate=ParityGate(tolerance=1.0, relative=0.02)
        )
