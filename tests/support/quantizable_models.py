"""A trained model that is quantised in a second: a convolution that sees colours, and a layer that names them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from support.model_repositories import LABELS, write_model

FRAMES, SIZE = 2, 16
COLOURS = np.array([[220, 20, 20], [20, 200, 20], [20, 20, 220], [12, 12, 12]], np.uint8)
"""Of `LABELS`, in their order."""


def colour_views(count: int, *, labels: int = len(LABELS), seed: int = 0) -> NDArray[np.uint8]:
    """Noisy clips uint8 `[N, T, H, W, 3]` of the labels' colours in turn, each with a black and a white pixel."""
    rng = np.random.default_rng(seed)
    colour = COLOURS[np.arange(count) % labels][:, None, None, None]
    noise = rng.integers(-12, 13, (count, FRAMES, SIZE, SIZE, 3))
    views: NDArray[np.uint8] = np.clip(colour + noise, 0, 255).astype(np.uint8)
    views[..., 0, 0, :], views[..., 0, 1, :] = 0, 255
    return views


def convolution_graph(*, outliers: tuple[float, float] = (1, 1)) -> onnx.ModelProto:
    """Logits `[B, T, 4]`, about 8 for the colour that is seen and 0 for the others.

    Args:
        outliers: how much larger one channel is than the others that go into the first product and into the second.
            Weights make up for it, so that answers are the same; but there are few of 256 steps left for the others.
    """
    first, second = outliers
    channels = np.array([1, 1, first], np.float32)[:, None, None]  # [3, 1, 1]
    spread = np.concatenate([np.eye(3), -np.eye(3)]).astype(np.float32)[:, :, None, None]  # [6, 3, 1, 1]
    seen = np.maximum(_normal(COLOURS) @ spread[:, :, 0, 0].T, 0)  # [K, 6]
    features = np.array([second, 1, 1, 1, 1, 1], np.float32)[:, None]  # [6, 1]
    weight = 8 * np.linalg.pinv(seen) / features  # [6, K]
    spread = spread / channels[None] * features[:, :, None, None]
    nodes = [
        helper.make_node("Cast", ["clips"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["planes"], perm=[0, 1, 4, 2, 3]),
        helper.make_node("Mul", ["planes", "gain"], ["scaled"]),
        helper.make_node("Add", ["scaled", "offset"], ["normal"]),
        helper.make_node("Reshape", ["normal", "frames"], ["pictures"]),
        helper.make_node("Conv", ["pictures", "spread"], ["mixed"]),
        helper.make_node("Relu", ["mixed"], ["seen"]),
        helper.make_node("ReduceMean", ["seen"], ["features"], axes=[2, 3], keepdims=0),
        helper.make_node("MatMul", ["features", "weight"], ["logits"]),
        helper.make_node("Reshape", ["logits", "rows"], ["frame_logits"]),
    ]
    constants = {
        "gain": channels / 128,
        "offset": -channels,
        "frames": np.array([-1, 3, SIZE, SIZE], np.int64),
        "spread": spread.astype(np.float32),
        "weight": weight.astype(np.float32),
        "rows": np.array([-1, FRAMES, len(LABELS)], np.int64),
    }
    graph = helper.make_graph(
        nodes,
        "convolution",
        [helper.make_tensor_value_info("clips", TensorProto.UINT8, ["B", FRAMES, SIZE, SIZE, 3])],
        [helper.make_tensor_value_info("frame_logits", TensorProto.FLOAT, ["B", FRAMES, len(LABELS)])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def write_convolution(
    repository: Path, name: str = "colours", *, outliers: tuple[float, float] = (1, 1), untrained: bool = False
) -> Path:
    """An entry with that graph; returns the model's folder."""
    graph = convolution_graph(outliers=outliers)
    folder = write_model(repository, name, frames=FRAMES, size=SIZE, graph=graph, untrained=untrained)
    (folder / "config.pbtxt").write_text("# an operator's own\n")
    return folder


def _normal(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    return pixels.astype(np.float32) / np.float32(128) - np.float32(1)
