"""Small model repositories for tests of the server: real ONNX graphs, made in milliseconds, of no family at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_NEWER = {"average", "precisions", "cost"}  # keys that only schema 2 knows
LABELS = ("red", "green", "blue", "dark")


OutputKind = Literal["per_frame", "per_step", "per_clip"]
Steps = Sequence[tuple[int, int]]


def colour_graph(
    *,
    frames: int,
    size: int,
    classes: int,
    kind: OutputKind = "per_frame",
    steps: Steps = (),
    embedding: bool = False,
) -> onnx.ModelProto:
    """A graph with the tensor contract whose logit k is the mean of colour k; class 3 is darkness.

    A step's or a clip's logits are the means of its frames'. The embedding ``[B, 3]`` is a clip's mean colour, 0 to 1.
    """
    weight = np.zeros((3, classes), np.float32)
    bias = np.zeros(classes, np.float32)
    for k in range(classes):
        if k < 3:
            weight[k, k] = 8 / 255
        else:
            weight[:, k] = -2 / 255 * (k - 2)
            bias[k] = 3.0 / (k - 2)
    nodes = [
        helper.make_node("Cast", ["clips"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["planes"], perm=[0, 1, 4, 2, 3]),
        helper.make_node("ReduceMean", ["planes"], ["colour"], axes=[3, 4], keepdims=0),
        helper.make_node("MatMul", ["colour", "weight"], ["scaled"]),
        helper.make_node("Add", ["scaled", "bias"], ["frame_logits" if kind == "per_frame" else "rows"]),
    ]
    constants = [numpy_helper.from_array(weight, "weight"), numpy_helper.from_array(bias, "bias")]
    # The rows: frames as they are, the means of steps, the mean of all.
    shape: list[str | int] = ["B", frames, classes]
    if kind == "per_step":
        shares = np.zeros((len(steps), frames), np.float32)
        for row, (first, last) in enumerate(steps):
            shares[row, first : last + 1] = 1 / (last + 1 - first)
        constants.append(numpy_helper.from_array(shares, "shares"))
        nodes.append(helper.make_node("MatMul", ["shares", "rows"], ["frame_logits"]))
        shape = ["B", len(steps), classes]
    elif kind == "per_clip":
        nodes.append(helper.make_node("ReduceMean", ["rows"], ["frame_logits"], axes=[1], keepdims=0))
        shape = ["B", classes]
    outputs = [helper.make_tensor_value_info("frame_logits", TensorProto.FLOAT, shape)]
    if embedding:
        nodes.append(helper.make_node("ReduceMean", ["colour"], ["bytes"], axes=[1], keepdims=0))
        nodes.append(helper.make_node("Div", ["bytes", "byte"], ["embedding"]))
        constants.append(numpy_helper.from_array(np.array(255, np.float32), "byte"))
        outputs.append(helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["B", 3]))
    graph = helper.make_graph(
        nodes,
        "colour",
        [helper.make_tensor_value_info("clips", TensorProto.UINT8, ["B", frames, size, size, 3])],
        outputs,
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model


def number_graph(*, frames: int, size: int) -> onnx.ModelProto:
    """A graph whose logit k is positive where a picture of ``numbered_videos.numbered`` (3:2) shows bit k.

    A square crop from the middle of such a picture holds the two columns inside whole, and a third of those outside.
    """
    columns = (
        slice(0, size // 12),
        slice(size // 4, size // 2),
        slice(size // 2, 3 * size // 4),
        slice(-(size // 12), None),
    )
    weight = np.zeros((size, size, 3, 12), np.float32)
    for bit in range(12):
        row, column = divmod(bit, 4)
        block = weight[row * size // 3 + size // 12 : (row + 1) * size // 3 - size // 12, columns[column], :, bit]
        block[...] = 1 / (16 * block.size)
    nodes = [
        helper.make_node("Cast", ["clips"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["float", "grey"], ["light"]),
        helper.make_node("Reshape", ["light", "rows"], ["pixels"]),
        helper.make_node("MatMul", ["pixels", "weight"], ["frame_logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "number",
        [helper.make_tensor_value_info("clips", TensorProto.UINT8, ["B", frames, size, size, 3])],
        [helper.make_tensor_value_info("frame_logits", TensorProto.FLOAT, ["B", frames, 12])],
        [
            numpy_helper.from_array(weight.reshape(-1, 12), "weight"),
            numpy_helper.from_array(np.array(128, np.float32), "grey"),
            numpy_helper.from_array(np.array([0, frames, size * size * 3], np.int64), "rows"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model


def slow_graph(*, frames: int, size: int, classes: int, rounds: int = 12) -> onnx.ModelProto:
    """The colour graph behind matrix products that take about a second a clip and add nothing."""
    side = 1536
    model = colour_graph(frames=frames, size=size, classes=classes)
    final = model.graph.node[-1]
    final.output[0] = "quick"
    nodes = [
        helper.make_node("ReduceMean", ["quick"], ["value"], axes=[1, 2], keepdims=1),
        helper.make_node("Expand", ["value", "square"], ["square_0"]),
    ]
    for i in range(rounds):
        nodes.append(helper.make_node("MatMul", [f"square_{i}", f"square_{i}"], [f"product_{i}"]))
        nodes.append(helper.make_node("Mul", [f"product_{i}", "zero"], [f"square_{i + 1}"]))
    nodes.append(helper.make_node("ReduceMean", [f"square_{rounds}"], ["nothing"], axes=[1, 2], keepdims=1))
    nodes.append(helper.make_node("Add", ["quick", "nothing"], ["frame_logits"]))
    model.graph.node.extend(nodes)
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, side, side], np.int64), "square"))
    model.graph.initializer.append(numpy_helper.from_array(np.array(1e-9, np.float32), "zero"))
    onnx.checker.check_model(model)
    return model


def write_model(
    repository: Path,
    name: str = "colours",
    *,
    version: int = 1,
    frames: int = 4,
    stride: int = 2,
    size: int = 32,
    labels: Sequence[str] = LABELS,
    kind: OutputKind = "per_frame",
    steps: Steps = (),
    embedding: bool = False,
    graph: onnx.ModelProto | None = None,
    **manifest: Any,
) -> Path:
    """Write one version of a model; ``manifest`` overrides top-level keys. Returns the model's folder.

    It is of schema 1, unless it has what only schema 2 knows.
    """
    folder = repository / name / str(version)
    folder.mkdir(parents=True)
    graph = graph or colour_graph(
        frames=frames, size=size, classes=len(labels), kind=kind, steps=steps, embedding=embedding
    )
    model_bytes = graph.SerializeToString()
    (folder / "model.onnx").write_bytes(model_bytes)
    label_bytes = "".join(f"{label}\n" for label in labels).encode()
    (repository / name / "labels.txt").write_bytes(label_bytes)
    document = {
        "schema_version": 2 if kind == "per_step" or embedding or _NEWER & set(manifest) else 1,
        "name": name,
        "family": "colour",
        "variant": "mean",
        "output": {"name": "frame_logits", "kind": kind} | ({"steps": [*steps]} if kind == "per_step" else {}),
        "inputs": [
            {
                "name": "clips",
                "dtype": "uint8",
                "layout": "BTHWC",
                "frames": frames,
                "height": size,
                "width": size,
                "stride": stride,
            }
        ],
        "sampling": "laps_uniform",
        "preprocess": {
            "short_side": size,
            "crop_height": size,
            "crop_width": size,
            "interpolation": "bilinear",
            "mean": [0.0, 0.0, 0.0],
            "std": [1.0, 1.0, 1.0],
        },
        "activation": "softmax",
        "temperature": 1.0,
        "default_views": "2x3",
        "labels": {"name": "colours", "count": len(labels), "sha256": hashlib.sha256(label_bytes).hexdigest()},
        "precisions": {
            "float32": {
                "file": "model.onnx",
                "parity": {"max_abs_diff": 0.0, "tolerance": 0.001, "batch_sizes": [1, 3, 16]},
            }
        },
        "opset": 17,
        "files": {"model.onnx": hashlib.sha256(model_bytes).hexdigest()},
        "untrained": False,
        "provenance": {"metrics": {"top1": 1.0}},
    }
    if embedding:
        document["embedding"] = {"name": "embedding", "size": 3}
    document.update(manifest)
    (folder / "laps.json").write_text(json.dumps(document))
    return repository / name


def add_int8(folder: Path, graph: onnx.ModelProto, *records: dict[str, Any]) -> Path:
    """Put a second graph into version 1 of a model, as its int8 file, with records of how engines fared with it."""
    path = folder / "1" / "laps.json"
    document = json.loads(path.read_text())
    (folder / "1" / "model.int8.onnx").write_bytes(graph.SerializeToString())
    parity = {"max_abs_diff": 0.1, "tolerance": None, "batch_sizes": [1]}
    document["schema_version"] = 2
    document["precisions"]["int8"] = {"file": "model.int8.onnx", "parity": parity, "engines": [*records]}
    document["files"]["model.int8.onnx"] = hashlib.sha256(graph.SerializeToString()).hexdigest()
    path.write_text(json.dumps(document))
    return folder
