"""Multiply-adds of a graph's convolutions, from the graph alone: what torch is not asked for."""

from __future__ import annotations

import math

import onnx
from onnx.shape_inference import infer_shapes


def count_gmacs(model: onnx.ModelProto) -> float:
    """1e9 multiply-adds of all convolutions for one view: each number of an output takes one kernel's products."""
    weights = {constant.name: tuple(constant.dims) for constant in model.graph.initializer}
    shapes = {value.name: _without_batch(value) for value in infer_shapes(model).graph.value_info}
    total = 0
    for node in model.graph.node:
        if node.op_type == "Conv":
            _, *kernel = weights[node.input[1]]  # [out, in, ...]
            total += math.prod(shapes[node.output[0]]) * math.prod(kernel)
    return total / 1e9


def _without_batch(value: onnx.ValueInfoProto) -> list[int]:
    return [dim.dim_value for dim in value.type.tensor_type.shape.dim[1:]]
