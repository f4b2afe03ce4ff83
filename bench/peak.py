"""The fastest product of two large matrices on this machine, by library and precision: what an engine could reach."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

SIDE = 2048
GFLOP = 2 * SIDE**3 / 1e9

Product = Callable[[], object]


def products(precision: str, threads: int) -> dict[str, Product]:
    """By library, each ready to run again and again; those that have none at this precision are left out."""
    found: dict[str, Product] = {}
    for library, make in (("openvino", _openvino), ("ort", _ort), ("torch", _torch)):
        try:
            product = make(precision, threads)
            product()
        except (ImportError, NotImplementedError, RuntimeError):
            continue
        found[library] = product
    return found


def _graph() -> bytes:
    rng = np.random.default_rng(0)
    weights = numpy_helper.from_array(rng.standard_normal((SIDE, SIDE)).astype(np.float32), "weights")
    shape = [SIDE, SIDE]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["left", "weights"], ["product"])],
        "product",
        [helper.make_tensor_value_info("left", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("product", TensorProto.FLOAT, shape)],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    serialized: bytes = model.SerializeToString()
    return serialized


def _left() -> Any:
    return np.random.default_rng(1).standard_normal((SIDE, SIDE)).astype(np.float32)


def _openvino(precision: str, threads: int) -> Product:
    import laps_server.engines.openvino  # noqa: F401, PLC0415 - it keeps OpenVINO from telling its makers
    import openvino as ov  # isort: skip  # noqa: PLC0415 - it may not be installed

    if precision not in {"float32", "bfloat16", "float16"}:
        raise NotImplementedError
    core = ov.Core()
    options = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": str(threads),
        "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}[precision],
    }
    request = core.compile_model(core.read_model(_graph()), "CPU", options).create_infer_request()
    left = _left()
    return lambda: request.infer({0: left}, share_inputs=True, share_outputs=True)


def _ort(precision: str, threads: int) -> Product:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if precision == "float32":
        session = ort.InferenceSession(_graph(), options, providers=["CPUExecutionProvider"])
        left = _left()
        return lambda: session.run(None, {"left": left})
    if precision == "int8":
        session = ort.InferenceSession(_int8_graph(), options, providers=["CPUExecutionProvider"])
        bytes_ = np.random.default_rng(1).integers(0, 255, (SIDE, SIDE), dtype=np.uint8)
        return lambda: session.run(None, {"left": bytes_})
    raise NotImplementedError


def _int8_graph() -> bytes:
    shape = [SIDE, SIDE]
    weights = np.random.default_rng(0).integers(-128, 127, (SIDE, SIDE), dtype=np.int8)
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["left", "weights"], ["product"])],
        "product",
        [helper.make_tensor_value_info("left", TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info("product", TensorProto.INT32, shape)],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    serialized: bytes = model.SerializeToString()
    return serialized


def _torch(precision: str, threads: int) -> Product:
    import torch  # noqa: PLC0415, TID251 - one of the three that the peak is the best of; it takes seconds to load

    torch.set_num_threads(threads)
    if precision == "int8":
        left, right = (torch.randint(-128, 127, (SIDE, SIDE), dtype=torch.int8) for _ in range(2))
        return lambda: torch._int_mm(left, right)
    kind = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[precision]
    one, other = (torch.randn(SIDE, SIDE).to(kind) for _ in range(2))
    return lambda: one @ other
