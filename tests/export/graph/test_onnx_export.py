from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from laps_export.errors import GraphError
from laps_export.families.laps.family import PIXELS
from laps_export.families.laps.visformer import Laps
from laps_export.graph.onnx_export import ExportModule
from laps_export.graph.parity import open_session, run_graph
from laps_export.graph.tensor_contract import TensorContract, check_onnx
from support.small_laps import CONTRACT


@pytest.fixture(scope="module")
def proto(small_graph: Path) -> onnx.ModelProto:
    return onnx.load(small_graph)


def test_the_header_is_what_old_runtimes_read(proto: onnx.ModelProto) -> None:
    assert [(opset.domain, opset.version) for opset in proto.opset_import] == [("", 17)]
    assert proto.ir_version <= 9
    onnx.checker.check_model(proto, full_check=True)


def test_the_input_is_cast_before_anything_else(proto: onnx.ModelProto) -> None:
    nodes = [node for node in proto.graph.node if node.op_type != "Constant"]
    assert [node.op_type for node in nodes[:2]] == ["Cast", "Transpose"]
    assert [list(node.input) for node in nodes if "clips" in node.input] == [["clips"]]


def test_the_graph_is_free_of_norms_and_shape_arithmetic(proto: onnx.ModelProto) -> None:
    operators = {node.op_type for node in proto.graph.node}
    clutter = {"BatchNormalization", "Shape", "Range", "ScatterND", "GatherND", "Expand", "ConstantOfShape"}
    assert not operators & clutter


def test_leap_pairs_are_the_only_gathers(proto: onnx.ModelProto) -> None:
    blocks = 4
    gathers = [node for node in proto.graph.node if node.op_type == "Gather"]
    assert len(gathers) == 2 * blocks


def test_queries_keys_and_values_are_projected_apart(proto: onnx.ModelProto) -> None:
    """A split of a convolution's channels copies every pixel on engines that keep channels together."""
    made = {output: node.op_type for node in proto.graph.node for output in node.output}
    assert not [node.name for node in proto.graph.node if node.op_type == "Split" and made[node.input[0]] == "Conv"]


def test_one_file_and_nothing_about_the_machine_that_wrote_it(small_graph: Path) -> None:
    assert [path.name for path in small_graph.parent.iterdir()] == ["model.onnx"]
    assert b"/export/src" not in small_graph.read_bytes()
    assert b".py" not in small_graph.read_bytes()


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_any_batch_equals_torch(small_graph: Path, small_model: Laps, batch: int) -> None:
    clips = np.random.default_rng(batch).integers(0, 256, (batch, 8, 64, 64, 3), dtype=np.uint8)
    with torch.inference_mode():
        expected = ExportModule(small_model, PIXELS)(torch.from_numpy(clips))[0].numpy()
    computed = run_graph(open_session(small_graph), clips)
    assert computed.dtype == np.float32
    np.testing.assert_allclose(computed, expected, atol=1e-5)


def test_the_graph_gives_gelu_in_the_form_that_runtimes_fuse(small_graph: Path, tmp_path: Path) -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(small_graph, options, providers=["CPUExecutionProvider"])
    optimised = onnx.load(tmp_path / "optimised.onnx")
    operators = [node.op_type for node in optimised.graph.node]
    assert "Erf" not in operators
    assert operators.count("Gelu") == 2 * 1 + 4  # two in a first-stage block, one in every other


@pytest.mark.parametrize(
    ("contract", "what"),
    [
        (replace(CONTRACT, frames=4), "inputs"),
        (replace(CONTRACT, height=32), "inputs"),
        (replace(CONTRACT, classes=8), "outputs"),
        (replace(CONTRACT, steps=None), "outputs"),
        (replace(CONTRACT, embedding=16), "outputs"),
    ],
)
def test_another_shape_breaks_the_contract(small_graph: Path, contract: TensorContract, what: str) -> None:
    with pytest.raises(GraphError) as caught:
        check_onnx(small_graph, contract)
    assert caught.value.code == "contract_broken"
    assert what in caught.value.message


def test_a_newer_opset_breaks_the_contract(proto: onnx.ModelProto, tmp_path: Path) -> None:
    newer = onnx.ModelProto()
    newer.CopyFrom(onnx.version_converter.convert_version(proto, 19))
    onnx.save(newer, tmp_path / "newer.onnx")
    with pytest.raises(GraphError, match="opset: 19"):
        check_onnx(tmp_path / "newer.onnx", CONTRACT)


def test_external_data_breaks_the_contract(proto: onnx.ModelProto, tmp_path: Path) -> None:
    split = onnx.ModelProto()
    split.CopyFrom(proto)
    onnx.save(split, tmp_path / "split.onnx", save_as_external_data=True, location="weights.bin")
    with pytest.raises(GraphError, match="external data"):
        check_onnx(tmp_path / "split.onnx", CONTRACT)


@pytest.mark.parametrize("content", [b"", b"not a graph", b"\x08\x08"], ids=["empty", "text", "header-only"])
def test_a_file_that_is_no_graph(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(GraphError) as caught:
        check_onnx(path, CONTRACT)
    assert caught.value.code == "invalid_onnx"
