"""config.pbtxt: what Triton must know of a model, in its own layout."""

from __future__ import annotations

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
