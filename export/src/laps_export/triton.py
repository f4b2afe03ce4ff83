"""config.pbtxt: what Triton must know of a model, in its own layout."""

from __future__ import annotations

from collections.abc import Sequence

from laps_export.onnx import INPUT_NAME, OUTPUT_NAME, TensorContract

FILE_NAME = "config.pbtxt"
MAX_BATCH_SIZE = 16
"""Largest batch of views; the parity gate tries it."""


def render_config(name: str, contract: TensorContract) -> str:
    """The text of a model's config.pbtxt; dims leave the batch axis out, as Triton wants it."""
    return f"""\
name: "{name}"
backend: "onnxruntime"
max_batch_size: {MAX_BATCH_SIZE}
input [
  {{
    name: "{INPUT_NAME}"
    data_type: TYPE_UINT8
    dims: [ {contract.frames}, {contract.height}, {contract.width}, 3 ]
  }}
]
output [
  {{
    name: "{OUTPUT_NAME}"
    data_type: TYPE_FP32
    dims: [ {contract.frames}, {contract.classes} ]
  }}
]
dynamic_batching {{ }}
# AUTO takes a GPU where there is one and the CPU where there is none; GPU would fail to load there.
instance_group [ {{ kind: KIND_AUTO }} ]
version_policy: {{ latest: {{ num_versions: 1 }} }}
"""


def render_plan_config(name: str, contract: TensorContract, batch_sizes: Sequence[int]) -> str:
    """The text of a TensorRT plan's config.pbtxt.

    Args:
        name: the entry's.
        contract: of the graph that the plan was built from.
        batch_sizes: ascending, one optimisation profile each, in the plan's order.
    """
    profiles = ", ".join(f'"{i}"' for i in range(len(batch_sizes)))
    return f"""\
name: "{name}"
backend: "tensorrt"
max_batch_size: {batch_sizes[-1]}
input [
  {{
    name: "{INPUT_NAME}"
    data_type: TYPE_UINT8
    dims: [ {contract.frames}, {contract.height}, {contract.width}, 3 ]
  }}
]
output [
  {{
    name: "{OUTPUT_NAME}"
    data_type: TYPE_FP32
    dims: [ {contract.frames}, {contract.classes} ]
  }}
]
dynamic_batching {{ }}
# A plan runs on the kind of GPU that it was built on and nowhere else. Without their names here, Triton would use the
# first profile alone, which holds batches of {batch_sizes[0]}.
instance_group [ {{ kind: KIND_GPU profile: [ {profiles} ] }} ]
version_policy: {{ latest: {{ num_versions: 1 }} }}
{"".join(_warmup(contract, size) for size in batch_sizes)}"""


def _warmup(contract: TensorContract, batch_size: int) -> str:
    return f"""\
model_warmup [
  {{
    name: "batch of {batch_size}"
    batch_size: {batch_size}
    inputs {{
      key: "{INPUT_NAME}"
      value {{
        data_type: TYPE_UINT8
        dims: [ {contract.frames}, {contract.height}, {contract.width}, 3 ]
        zero_data: true
      }}
    }}
  }}
]
"""
