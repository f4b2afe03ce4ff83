"""I3D as one ONNX graph, written node by node: uint8 clips in, logits of every step out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from laps_export.families.i3d.network import (
    CLASSES,
    FEATURES,
    HEAD,
    INPUT_SIZE,
    LAYERS,
    Kernel,
    MaxPool,
    Mixed,
    Unit,
    steps_of,
)
from laps_export.families.i3d.weights import Convolution

OPSET = 17
IR_VERSION = 9


def build_graph(weights: Mapping[str, Convolution], *, frames: int, taps: tuple[str, ...] = ()) -> onnx.ModelProto:
    """The graph of clips of this length.

    Input ``clips`` uint8 ``[B, T, 224, 224, 3]``, RGB; outputs ``frame_logits`` float32 ``[B, T/8 - 1, 400]`` and
    ``embedding`` float32 ``[B, 1024]``, the features under the logits, averaged over the steps.

    Args:
        weights: as `convolutions` gives them.
        frames: T.
        taps: layers whose values are further outputs, to compare with.

    Raises:
        ValueError: T is not a whole number of steps.
    """
    steps = steps_of(frames)
    writer = _Writer(weights)
    value = writer.normalised("clips")
    size = (frames, INPUT_SIZE, INPUT_SIZE)
    for index, layer in enumerate(LAYERS):
        if isinstance(layer, Unit):
            value, size = writer.unit(value, layer, size)
        elif isinstance(layer, MaxPool):
            value, size = writer.max_pool(value, layer, size, name=f"MaxPool_{index}")
        else:
            value = writer.mixed(value, layer, size)
    writer.head(value, size)
    outputs = [
        helper.make_tensor_value_info("frame_logits", TensorProto.FLOAT, ["B", steps, CLASSES]),
        helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["B", FEATURES]),
        *(helper.make_tensor_value_info(tap, TensorProto.FLOAT, ["B", None, None, None, None]) for tap in taps),
    ]
    clips = helper.make_tensor_value_info("clips", TensorProto.UINT8, ["B", frames, INPUT_SIZE, INPUT_SIZE, 3])
    graph = helper.make_graph(writer.nodes, "i3d", [clips], outputs, writer.constants)
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="laps-export"
    )
    onnx.checker.check_model(model, full_check=True)
    return model


class _Writer:
    """Nodes and constants so far; each method adds some and names its result after the layer."""

    def __init__(self, weights: Mapping[str, Convolution]) -> None:
        self._weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def normalised(self, clips: str) -> str:
        """uint8 ``[B, T, H, W, 3]`` to float32 ``[B, 3, T, H, W]`` in -1..1: x / 127.5 - 1.

        It cannot be folded into the first convolution, whose padding is zeros of normalised values.
        """
        value = self._node("Cast", clips, name="Pixels", to=TensorProto.FLOAT)
        value = self._node("Transpose", value, name="Channels", perm=[0, 4, 1, 2, 3])
        value = self._node("Div", value, self._constant("pixel_scale", 127.5), name="Scaled")
        return self._node("Sub", value, self._constant("pixel_shift", 1.0), name="Normalised")

    def unit(self, value: str, unit: Unit, size: Kernel) -> tuple[str, Kernel]:
        """Convolution and ReLU."""
        stride = (unit.stride,) * 3
        value = self._convolution(value, unit.name, pads=_same_pads(size, unit.kernel, stride), strides=stride)
        return self._node("Relu", value, name=unit.name), _shrunk(size, stride)

    def max_pool(self, value: str, pool: MaxPool, size: Kernel, *, name: str) -> tuple[str, Kernel]:
        """ONNX fills the padding of a MaxPool with what never wins."""
        pads = _same_pads(size, pool.kernel, pool.stride)
        value = self._node("MaxPool", value, name=name, kernel_shape=pool.kernel, strides=pool.stride, pads=pads)
        return value, _shrunk(size, pool.stride)

    def mixed(self, value: str, block: Mixed, size: Kernel) -> str:
        """Four branches of the same size, joined along the channels."""
        *plain, pooled = block.branches
        ends = [self._chain(value, branch, size) for branch in plain]
        window = MaxPool((3, 3, 3), (1, 1, 1))
        largest, _ = self.max_pool(value, window, size, name=f"{block.name}.Branch_3/MaxPool3d_0a_3x3")
        ends.append(self._chain(largest, pooled, size))
        return self._node("Concat", *ends, name=block.name, axis=1)

    def head(self, value: str, size: Kernel) -> None:
        """Two strides of time and all of space averaged, then logits of each step: [B, C, T, H, W] -> [B, S, K]."""
        window = (2, size[1], size[2])
        value = self._node("AveragePool", value, name="AveragePool", kernel_shape=window, strides=(1, 1, 1))
        self._node("ReduceMean", value, output="embedding", name="Embedding", axes=[2, 3, 4], keepdims=0)
        value = self._convolution(value, HEAD, pads=(0,) * 6, strides=(1, 1, 1))
        space = self._integers("space_axes", [3, 4])
        value = self._node("Squeeze", value, space, name="StepsLast")  # [B, K, S]
        self._node("Transpose", value, output="frame_logits", name="FrameLogits", perm=[0, 2, 1])

    def _chain(self, value: str, units: tuple[Unit, ...], size: Kernel) -> str:
        for unit in units:
            value, _ = self.unit(value, unit, size)
        return value

    def _convolution(self, value: str, name: str, *, pads: tuple[int, ...], strides: Kernel) -> str:
        weights = self._weights[name]
        kernel = self._array(f"{name}.kernel", weights.kernel)
        bias = self._array(f"{name}.bias", weights.bias)
        shape = weights.kernel.shape[2:]
        return self._node(
            "Conv", value, kernel, bias, name=f"{name}.conv", kernel_shape=shape, strides=strides, pads=pads
        )

    def _node(self, operator: str, *inputs: str, name: str, output: str | None = None, **attributes: Any) -> str:
        result = output or name
        self.nodes.append(helper.make_node(operator, list(inputs), [result], name=name, **attributes))
        return result

    def _array(self, name: str, values: npt.NDArray[Any]) -> str:
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def _constant(self, name: str, value: float) -> str:
        return self._array(name, np.array(value, np.float32))

    def _integers(self, name: str, values: list[int]) -> str:
        return self._array(name, np.array(values, np.int64))


def _same_pads(size: Kernel, kernel: Kernel, stride: Kernel) -> tuple[int, ...]:
    """TensorFlow's "same": as many outputs as strides fit in; the odd place of padding is at the end.

    ::

        size 4, kernel 3, stride 2:   [a b c d] +     -> windows abc, cd+       pads (0, 1)
        size 4, kernel 3, stride 1: + [a b c d] +     -> +ab, abc, bcd, cd+     pads (1, 1)
    """
    totals = [max((-(-n // s) - 1) * s + k - n, 0) for n, k, s in zip(size, kernel, stride, strict=True)]
    return (*(total // 2 for total in totals), *(total - total // 2 for total in totals))


def _shrunk(size: Kernel, stride: Kernel) -> Kernel:
    time, height, width = (-(-n // s) for n, s in zip(size, stride, strict=True))
    return time, height, width
