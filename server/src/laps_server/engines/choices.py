"""What an operator can choose of the engines, and the defaults of it: as settings read it and adapters understand it.

Apart from the registry, whose builders read the settings, so that the two do not import each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

# Those of this process first, in the order in which they are tried.
EngineName = Literal["openvino", "ort", "triton"]
# What a graph is computed in: a file of the model of that precision, or the float32 file by an engine that lowers it.
Precision = Literal["float32", "bfloat16", "float16", "int8"]
EngineOrAuto = Literal["auto", EngineName]
PrecisionOrAuto = Literal["auto", Precision]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to run a model."""

    engine: EngineName
    precision: Precision


# Most views in one batch where no setting says otherwise; docs/decisions/ has what was measured.
DEFAULT_BATCH_VIEWS: Mapping[EngineName, int] = MappingProxyType({"openvino": 4, "ort": 4, "triton": 16})
# The same on a GPU, in this process as with Triton.
GPU_BATCH_VIEWS = 16
# Of the engines in this process; cuda and tensorrt are ONNX Runtime's providers.
Device = Literal["cpu", "cuda", "tensorrt"]
SharedMemoryMode = Literal["auto", "on", "off"]
