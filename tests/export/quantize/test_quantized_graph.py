from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto

from laps_export.errors import GraphError
from laps_export.graph.tensor_contract import TensorContract, check_onnx
from laps_export.quantize.graph_runners import GRAPH_RUNNERS, open_ort, run_views
from laps_export.quantize.quantized_graph import in_float_again, layer_groups, quantize, read_graph
from support.model_repositories import LABELS
from support.quantizable_models import FRAMES, SIZE, colour_views, convolution_graph

CONTRACT = TensorContract(frames=FRAMES, height=SIZE, width=SIZE, classes=len(LABELS), steps=FRAMES)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("graph") / "model.onnx"
    path.write_bytes(convolution_graph().SerializeToString())
    return path


@pytest.fixture(scope="module")
def quantized(source: Path) -> ModelProto:
    return quantize(read_graph(source), colour_views(16))


def quantizers(proto: ModelProto) -> int:
    return sum(node.op_type == "QuantizeLinear" for node in proto.graph.node)


@pytest.mark.parametrize("engine", GRAPH_RUNNERS)
def test_it_keeps_the_contract_and_answers_nearly_as_before(
    source: Path, quantized: ModelProto, tmp_path: Path, engine: str
) -> None:
    path = tmp_path / "model.int8.onnx"
    onnx.save_model(quantized, path)
    check_onnx(path, CONTRACT)
    assert quantizers(quantized) >= 2
    views = colour_views(30, seed=1)
    open_graph = {str(name): opened for name, opened in GRAPH_RUNNERS.items()}[engine]
    before, after = (run_views(open_graph(graph), views, batch=4) for graph in (source, path))
    assert before.shape == (30, FRAMES, len(LABELS))
    assert 0 < np.abs(before - after).max() < 0.5
    assert (before.mean(axis=1).argmax(axis=1) == np.arange(30) % len(LABELS)).all()


def test_the_source_is_left_alone(source: Path) -> None:
    proto = read_graph(source)
    before = proto.SerializeToString()
    quantize(proto, colour_views(4))
    assert proto.SerializeToString() == before


def test_what_is_named_stays_in_float32(source: Path, quantized: ModelProto) -> None:
    proto = read_graph(source)
    first, second, others = layer_groups(proto, 2)
    assert 0 < quantizers(quantize(proto, colour_views(4), in_float=first)) < quantizers(quantized)
    assert quantizers(quantize(proto, colour_views(4), in_float=first | second | others)) == 0


def test_nodes_are_as_they_were_without_measuring_again(source: Path, quantized: ModelProto, tmp_path: Path) -> None:
    proto = read_graph(source)
    first, second, others = layer_groups(proto, 14)
    views = colour_views(8, seed=1)
    expected = run_views(open_ort(source), views, batch=4)
    shifts = []
    for names in (frozenset[str](), first, second | others, first | second | others):
        path = tmp_path / "again.onnx"
        onnx.save_model(in_float_again(quantized, proto, names), path)
        check_onnx(path, CONTRACT)
        shifts.append(float(np.abs(run_views(open_ort(path), views, batch=4) - expected).max()))
    assert shifts[-1] < 1e-4 < min(shifts[:-1])
    assert len(set(shifts[1:])) == 3


def test_products_are_grouped_in_order_and_all_else_is_a_group_of_its_own(source: Path) -> None:
    proto = read_graph(source)
    names = [node.name for node in proto.graph.node]
    first, second, others = layer_groups(proto, 14)
    assert [len(group) for group in (first, second)] == [1, 1]
    (one,), (other,) = first, second
    assert names.index(one) < names.index(other)
    assert first | second | others == set(names[5:])  # what is before makes numbers of pixels
    assert layer_groups(proto, 1) == [first | second, others]


def test_nodes_get_names_where_they_have_none(source: Path) -> None:
    names = [node.name for node in read_graph(source).graph.node]
    assert all(names)
    assert len(set(names)) == len(names)


def test_a_graph_without_products_is_refused() -> None:
    proto = convolution_graph()
    kept = [node for node in proto.graph.node if node.op_type not in {"Conv", "MatMul"}]
    del proto.graph.node[:]
    proto.graph.node.extend(kept)
    with pytest.raises(GraphError) as caught:
        layer_groups(proto, 3)
    assert caught.value.code == "cannot_quantize"
