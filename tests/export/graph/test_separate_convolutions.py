from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, helper, numpy_helper

from laps_export.graph.separate_convolutions import separate_convolutions

SIZES = (2, 3, 1)
RNG = np.random.default_rng(0)


def graph(*, group: int = 1, axis: int = 1, bias: bool = True, read_twice: bool = False) -> ModelProto:
    """A convolution of 6 channels, split into three parts or along its rows."""
    weight = RNG.standard_normal((6, 6 // group, 1, 1)).astype(np.float32)
    sizes = SIZES if axis == 1 else (1, 2, 1)
    tensors: dict[str, np.ndarray] = {
        "w": weight,
        "b": RNG.standard_normal(6).astype(np.float32),
        "sizes": np.array(sizes, np.int64),
    }
    names = ("w", "b") if bias else ("w",)
    outputs = ["q", "k", "v", *(["whole"] if read_twice else [])]
    nodes = [
        helper.make_node("Conv", ["x", *names], ["qkv"], name="qkv", group=group),
        helper.make_node("Split", ["qkv", "sizes"], ["q0", "k0", "v0"], name="split", axis=axis),
        *(helper.make_node("Relu", [f"{name}0"], [name]) for name in "qkv"),
        *([helper.make_node("Identity", ["qkv"], ["whole"])] if read_twice else []),
    ]
    proto = helper.make_model(
        helper.make_graph(
            nodes,
            "parts",
            [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["B", 6, 4, 4])],
            [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["B", None, None, 4]) for name in outputs],
            [numpy_helper.from_array(value, name) for name, value in tensors.items() if name != "b" or bias],
            value_info=[helper.make_tensor_value_info("qkv", onnx.TensorProto.FLOAT, ["B", 6, 4, 4])],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )
    onnx.checker.check_model(proto, full_check=True)
    return proto


def run(proto: ModelProto, x: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    outputs: list[np.ndarray] = session.run(None, {"x": x})
    return outputs


def operators(proto: ModelProto) -> list[str]:
    return [node.op_type for node in proto.graph.node]


@pytest.mark.parametrize("bias", [True, False])
def test_each_part_is_a_convolution_of_its_own_with_the_same_numbers(*, bias: bool) -> None:
    proto = graph(bias=bias)
    x = RNG.standard_normal((2, 6, 4, 4)).astype(np.float32)
    before = run(proto, x)
    separate_convolutions(proto)
    onnx.checker.check_model(proto, full_check=True)
    assert operators(proto) == ["Conv", "Conv", "Conv", "Relu", "Relu", "Relu"]
    for expected, computed in zip(before, run(proto, x), strict=True):
        np.testing.assert_allclose(computed, expected, atol=1e-6)


def test_nothing_is_left_of_what_was_whole() -> None:
    proto = graph()
    separate_convolutions(proto)
    read = {name for node in proto.graph.node for name in node.input}
    assert {tensor.name for tensor in proto.graph.initializer} <= read
    assert not proto.graph.value_info


@pytest.mark.parametrize("options", [{"group": 2}, {"axis": 2}, {"read_twice": True}])
def test_what_cannot_be_taken_apart_is_left_as_it_is(options: dict[str, int]) -> None:
    proto = graph(**options)  # type: ignore[arg-type]
    before = proto.SerializeToString()
    separate_convolutions(proto)
    assert proto.SerializeToString() == before
