from __future__ import annotations

import re
from pathlib import Path

import onnx
from onnx import TensorProto

from laps_export.onnx import TensorContract
from laps_export.triton import render_config

TYPES = {"TYPE_UINT8": TensorProto.UINT8, "TYPE_FP32": TensorProto.FLOAT}


def test_tensors_are_those_of_the_graph(small_graph: Path) -> None:
    text = render_config("small", TensorContract(8, 64, 64, 7))
    found = re.findall(r'name: "(\w+)"\s+data_type: (\w+)\s+dims: \[ ([\d, ]+) \]', text)
    graph = onnx.load(small_graph).graph
    expected = [
        (value.name, value.type.tensor_type.elem_type, [d.dim_value for d in dims[1:]])
        for value in (*graph.input, *graph.output)
        for dims in [value.type.tensor_type.shape.dim]
    ]
    assert [(name, TYPES[kind], [int(d) for d in dims.split(",")]) for name, kind, dims in found] == expected


def test_the_rest_is_as_triton_wants_it() -> None:
    text = render_config("laps-k400", TensorContract(8, 224, 224, 400))
    for line in (
        'name: "laps-k400"',
        'backend: "onnxruntime"',
        "max_batch_size: 16",
        "dynamic_batching { }",
        "instance_group [ { kind: KIND_AUTO } ]",
        "version_policy: { latest: { num_versions: 1 } }",
    ):
        assert line in text.splitlines()
    assert text.count("{") == text.count("}")
    assert text.count("[") == text.count("]")
