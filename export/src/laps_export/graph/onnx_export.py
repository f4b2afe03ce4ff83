"""A torch model to one ONNX file that keeps the tensor contract (`contract`), in evaluation and in float32."""

from __future__ import annotations

import contextlib
import io
import logging
import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import ModelProto
from onnxscript import opset18 as ops
from torch import Tensor, nn

from laps_export.errors import GraphError
from laps_export.families.family import Normalisation, VideoModel
from laps_export.families.normalise import Normalise
from laps_export.graph.lowering import EXPORTER_OPSET, lower
from laps_export.graph.separate_convolutions import separate_convolutions
from laps_export.graph.tensor_contract import INPUT_NAME, TensorContract, check_onnx

_TRACE_BATCH = 2  # a traced batch of 1 would be taken for a constant


class ExportModule(nn.Module):
    """A network behind its tensor contract: pixels in, logits out, and an embedding where it gives one."""

    def __init__(self, network: nn.Module, pixels: Normalisation) -> None:
        super().__init__()
        self.normalise = Normalise(pixels)
        self.network = network

    def forward(self, clips: Tensor) -> tuple[Tensor, ...]:
        """uint8 RGB `[B, T, H, W, 3]` to float32 `[B, S, K]` or `[B, K]`, and `[B, D]`."""
        answer: Tensor | tuple[Tensor, ...] = self.network(self.normalise(clips))
        return answer if isinstance(answer, tuple) else (answer,)


def export_onnx(model: VideoModel, path: Path) -> None:
    """Write `model` as one ONNX file that keeps the tensor contract.

    Args:
        model: its network may be in any mode; what is written is its evaluation.
        path: the file to write; its folder exists.

    Raises:
        GraphError: torch wrote something that cannot be lowered, or the contract is broken.
    """
    contract = TensorContract.of(model)
    module = ExportModule(model.family.for_inference(model.network), model.family.pixels)
    proto = _trace(module, contract)
    lower(proto)
    separate_convolutions(proto)
    proto.producer_name = "laps-export"
    proto.graph.name = model.family.name
    onnx.save_model(proto, path)
    check_onnx(path, contract)


def _trace(module: ExportModule, contract: TensorContract) -> ModelProto:
    clips = torch.zeros(_TRACE_BATCH, *contract.clip_shape, dtype=torch.uint8)
    with _quiet():
        program = torch.onnx.export(
            module.eval(),
            (clips,),
            dynamo=True,
            dynamic_shapes={INPUT_NAME: {0: torch.export.Dim("B")}},
            input_names=[INPUT_NAME],
            output_names=list(contract.outputs),
            opset_version=EXPORTER_OPSET,
            external_data=False,
            custom_translation_table={torch.ops.aten.gelu.default: _gelu},
            verbose=False,
        )
    if program is None:
        raise GraphError("torch's exporter returned nothing", code="export_failed")
    return program.model_proto


def _gelu(x: Any, approximate: str = "none") -> Any:
    """Exact GELU in the order of operations that ONNX Runtime and TensorRT recognise and fuse.

    torch's own translation halves first, `x * (0.5 * (1 + erf))`, which no fusion matches; it makes the
    whole network a fifth slower on a CPU.
    """
    if approximate != "none":
        raise GraphError(f"GELU with approximation {approximate!r}", code="cannot_lower")
    erf = ops.Erf(ops.Div(x, ops.Constant(value_float=math.sqrt(2.0))))
    one, half = ops.Constant(value_float=1.0), ops.Constant(value_float=0.5)
    return ops.Mul(ops.Mul(x, ops.Add(erf, one)), half)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's chatter about itself away from the user; its errors still come through."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
