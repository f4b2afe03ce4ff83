"""config.pbtxt: what Triton must know of a model, in its own layout."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Literal

from laps_export.families.family import MAX_BATCH
from laps_export.graph.tensor_contract import INPUT_NAME, TensorContract
from laps_export.repository.entry import GRAPH_NAME

PREFERRED_BATCH_SIZES = (4, 8, 16)
"""Sizes at which a batch is run without waiting for more; docs/triton.md has the measurement behind both."""
QUEUE_DELAY_US = 1000
"""How long a batch of another size waits for calls of other gateways, in microseconds."""

AcceleratorPrecision = Literal["fp16", "fp32"]

_TENSORRT = """\
optimization {{
  execution_accelerators {{
    gpu_execution_accelerator: [
      {{
        name: "tensorrt"
        parameters {{ key: "precision_mode" value: "{precision}" }}
        parameters {{ key: "max_workspace_size_bytes" value: "1073741824" }}
        parameters {{ key: "trt_engine_cache_enable" value: "true" }}
        parameters {{ key: "trt_engine_cache_path" value: "/tmp/tensorrt-{name}" }}
      }}
    ]
  }}
}}
"""


def render_config(
    name: str,
    contract: TensorContract,
    *,
    max_batch: int = MAX_BATCH,
    tensorrt: AcceleratorPrecision | None = None,
) -> str:
    """The text of a model's config.pbtxt; dims leave the batch axis out, as Triton wants it.

    Args:
        name: the entry's.
        contract: the graph's.
        max_batch: largest batch of views; the parity gate has tried it.
        tensorrt: let ONNX Runtime hand the graph to TensorRT, in this precision; None leaves that as a comment.
    """
    accelerator = _TENSORRT.format(precision=(tensorrt or "fp16").upper(), name=name)
    return f"""\
name: "{name}"
backend: "onnxruntime"
default_model_filename: "{GRAPH_NAME}"
max_batch_size: {max_batch}
{_tensors(contract)}\
{_dynamic_batching(_preferred(max_batch))}\
# AUTO takes a GPU where there is one and the CPU where there is none; GPU would fail to load there. The count is for
# each GPU, or for the CPU: without it there are two there, each with threads for all cores and a copy of the model.
instance_group [ {{ count: 1 kind: KIND_AUTO }} ]
# Threads of that instance on a CPU; without this, one for each core.
# parameters {{ key: "intra_op_thread_count" value: {{ string_value: "4" }} }}
version_policy: {{ latest: {{ num_versions: 1 }} }}
# The smallest and the largest batch run before the model is ready, so that no request pays for what first runs cost.
{"".join(_warmup(size, contract) for size in sorted({1, max_batch}))}\
{_accelerator_note(tensorrt)}{accelerator if tensorrt else textwrap.indent(accelerator, "# ")}"""


def render_plan_config(name: str, contract: TensorContract, batch_sizes: Sequence[int]) -> str:
    """The text of a TensorRT plan's config.pbtxt.

    Args:
        name: the entry's.
        contract: of the graph that the plan was built from.
        batch_sizes: ascending, one optimisation profile each, in the plan's order.
    """
    largest = batch_sizes[-1]
    profiles = ", ".join(f'"{i}"' for i in range(len(batch_sizes)))
    return f"""\
name: "{name}"
backend: "tensorrt"
max_batch_size: {largest}
{_tensors(contract)}\
{_dynamic_batching(_preferred(largest))}\
# A plan runs on the kind of GPU that it was built on and nowhere else. Without their names here, Triton would use the
# first profile alone, which holds batches of {batch_sizes[0]}.
instance_group [ {{ kind: KIND_GPU profile: [ {profiles} ] }} ]
version_policy: {{ latest: {{ num_versions: 1 }} }}
# Every profile runs before the model is ready, so that no request pays for what first runs cost.
{"".join(_warmup(size, contract) for size in batch_sizes)}"""


def _preferred(largest: int) -> list[int]:
    """The sizes worth preferring where no batch is larger than `largest`."""
    return [*(size for size in PREFERRED_BATCH_SIZES if size < largest), largest]


def _tensors(contract: TensorContract) -> str:
    outputs = ",\n".join(
        f"""\
  {{
    name: "{name}"
    data_type: TYPE_FP32
    dims: [ {", ".join(map(str, shape))} ]
  }}"""
        for name, shape in contract.outputs.items()
    )
    return f"""\
input [
  {{
    name: "{INPUT_NAME}"
    data_type: TYPE_UINT8
    dims: {_clip_dims(contract)}
  }}
]
output [
{outputs}
]
"""


def _dynamic_batching(preferred: Sequence[int]) -> str:
    return f"""\
# The gateway's calls are batches already; this joins those of several gateways. No default_queue_policy with a timeout
# here: it makes Triton's batcher sleep for half a second now and then. Deadlines come with the calls.
dynamic_batching {{
  preferred_batch_size: [ {", ".join(map(str, preferred))} ]
  max_queue_delay_microseconds: {QUEUE_DELAY_US}
}}
"""


def _warmup(size: int, contract: TensorContract) -> str:
    return f"""\
model_warmup {{
  name: "batch of {size}"
  batch_size: {size}
  inputs {{ key: "{INPUT_NAME}" value {{ data_type: TYPE_UINT8 dims: {_clip_dims(contract)} zero_data: true }} }}
}}
"""


def _clip_dims(contract: TensorContract) -> str:
    return f"[ {', '.join(map(str, contract.clip_shape))} ]"


def _accelerator_note(tensorrt: AcceleratorPrecision | None) -> str:
    if tensorrt:
        return "# TensorRT compiles the graph at the first start on a GPU, which takes minutes, and keeps the result.\n"
    return (
        "# TensorRT inside ONNX Runtime, up to TensorRT 10 and on a GPU alone: remove the marks, or export with\n"
        "# --tensorrt-accelerator fp16. docs/triton.md tells what TensorRT 11 wants.\n"
    )
