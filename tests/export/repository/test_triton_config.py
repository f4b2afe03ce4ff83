"""The shipped config.pbtxt, read by Triton's own schema and held against the graph it ships with."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from google.protobuf import text_format
from onnx import TensorProto
from tritonclient.grpc import model_config_pb2

from laps_export.families.family import MAX_BATCH
from laps_export.graph.parity import FLOAT32_GATE
from laps_export.repository.entry import GRAPH_NAME, MANIFEST_NAME
from laps_export.repository.manifest import read_contract
from laps_export.repository.triton_config import AcceleratorPrecision, render_config, render_plan_config
from support.small_laps import CONTRACT

TYPES = {model_config_pb2.TYPE_UINT8: TensorProto.UINT8, model_config_pb2.TYPE_FP32: TensorProto.FLOAT}
SHIPPED = Path(__file__).parents[3] / "model_repository"


def parsed(tensorrt: AcceleratorPrecision | None = None, *, name: str = "small") -> model_config_pb2.ModelConfig:
    return text_format.Parse(render_config(name, CONTRACT, tensorrt=tensorrt), model_config_pb2.ModelConfig())


def assert_of_graph(config: model_config_pb2.ModelConfig, path: Path) -> None:
    """Names, types and sizes of every tensor are the graph's."""
    graph = onnx.load(path).graph
    for described, values in ((config.input, graph.input), (config.output, graph.output)):
        found = [(tensor.name, TYPES[tensor.data_type], list(tensor.dims)) for tensor in described]
        expected = []
        for value in values:
            batch, *rest = value.type.tensor_type.shape.dim
            assert batch.dim_param, "the batch axis is free"
            expected.append((value.name, value.type.tensor_type.elem_type, [dim.dim_value for dim in rest]))
        assert found == expected


@pytest.mark.parametrize("tensorrt", [None, "fp16"])
def test_tensors_are_those_of_the_graph(small_graph: Path, tensorrt: AcceleratorPrecision | None) -> None:
    assert_of_graph(parsed(tensorrt), small_graph)


def test_a_second_output_is_described_behind_the_first() -> None:
    contract = replace(CONTRACT, embedding=1024)
    config = text_format.Parse(render_config("small", contract), model_config_pb2.ModelConfig())
    found = [(tensor.name, tensor.data_type, [*tensor.dims]) for tensor in config.output]
    float32 = model_config_pb2.TYPE_FP32
    assert found == [("frame_logits", float32, [8, 7]), ("embedding", float32, [1024])]
    plan = text_format.Parse(render_plan_config("small", contract, [1, 4]), model_config_pb2.ModelConfig())
    assert plan.output == config.output


@pytest.mark.parametrize("name", ["camera-motion", "camera-motion-base2d"])
def test_what_ships_is_what_the_exporter_writes_today(name: str) -> None:
    """So that whatever is tested of its output, here and with a real Triton, is true of the models in the box."""
    entry = SHIPPED / name
    text = (entry / "config.pbtxt").read_text()
    config = text_format.Parse(text, model_config_pb2.ModelConfig())
    manifest = json.loads((entry / "1" / MANIFEST_NAME).read_bytes())
    assert text == render_config(name, read_contract(manifest))
    assert_of_graph(config, entry / "1" / GRAPH_NAME)


def test_the_model_loads_wherever_triton_runs_and_batches_as_measured() -> None:
    config = parsed(name="laps-k400")
    assert (config.name, config.backend, config.default_model_filename) == ("laps-k400", "onnxruntime", GRAPH_NAME)
    assert config.max_batch_size == MAX_BATCH
    assert MAX_BATCH in FLOAT32_GATE.batch_sizes, "the parity gate tries the largest batch"
    (group,) = config.instance_group
    assert (group.kind, group.count) == (model_config_pb2.ModelInstanceGroup.KIND_AUTO, 1)
    assert config.version_policy.latest.num_versions == 1
    batching = config.dynamic_batching
    assert max(batching.preferred_batch_size) == MAX_BATCH
    assert 0 < batching.max_queue_delay_microseconds < 10_000


def test_the_thread_count_is_there_to_be_uncommented() -> None:
    text = render_config("small", CONTRACT)
    assert not parsed().parameters
    by_hand = text.replace("# parameters {", "parameters {")
    config = text_format.Parse(by_hand, model_config_pb2.ModelConfig())
    assert config.parameters["intra_op_thread_count"].string_value.isdecimal()


def test_no_queue_timeout_since_it_stalls_tritons_batcher() -> None:
    assert not parsed().dynamic_batching.HasField("default_queue_policy")


def test_first_runs_are_over_before_the_model_is_ready() -> None:
    config = parsed()
    assert [warmup.batch_size for warmup in config.model_warmup] == [1, MAX_BATCH]
    (tensor,) = config.input
    for warmup in config.model_warmup:
        (name,) = warmup.inputs
        assert (name, list(warmup.inputs[name].dims)) == (tensor.name, list(tensor.dims))
        assert warmup.inputs[name].data_type == tensor.data_type


def test_tensorrt_is_a_comment_until_it_is_asked_for() -> None:
    text = render_config("small", CONTRACT)
    assert not parsed().HasField("optimization")
    uncommented = text.replace("\n# optimization", "\noptimization")
    head, tail = uncommented.split("\noptimization")
    tail = tail.replace("\n# ", "\n")
    by_hand = text_format.Parse(f"{head}\noptimization{tail}", model_config_pb2.ModelConfig())
    assert by_hand == parsed("fp16"), "removing the marks is what --tensorrt-accelerator fp16 does"


@pytest.mark.parametrize(("asked", "precision"), [("fp16", "FP16"), ("fp32", "FP32")])
def test_tensorrt_in_the_precision_asked_for(asked: AcceleratorPrecision, precision: str) -> None:
    (accelerator,) = parsed(asked).optimization.execution_accelerators.gpu_execution_accelerator
    assert accelerator.name == "tensorrt"
    assert accelerator.parameters["precision_mode"] == precision
