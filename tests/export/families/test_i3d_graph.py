from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from laps_export.errors import CheckpointError, ParityError
from laps_export.families.i3d import graph, network, parity, weights
from laps_export.families.i3d.graph import build_graph
from laps_export.families.i3d.network import array_shapes, frames_of_step, steps_of
from laps_export.families.i3d.parity import check_parity, reference_input, run_from
from laps_export.families.i3d.weights import convolutions
from support.i3d_recipe import recipe_arrays

# What the package's own network computed with the recipe's weights: logits of three steps for 32 frames of noise, and
# mean and deviation of what four layers hand on.
GOLDEN = Path(__file__).parents[2] / "data" / "i3d_recipe_32.npz"
STAGES = ("Conv3d_1a_7x7", "Mixed_3c", "Mixed_4f", "Mixed_5c")
FRAMES = 32
ONE_STEP = 16


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    with np.load(GOLDEN) as file:
        return dict(file)


@cache
def recipe_model() -> onnx.ModelProto:
    return build_graph(convolutions(recipe_arrays()), frames=FRAMES)


@cache
def one_step_model() -> onnx.ModelProto:
    return build_graph(convolutions(recipe_arrays()), frames=ONE_STEP)


def recipe_logits(*outputs: str) -> Any:
    return run_from(build_graph(convolutions(recipe_arrays()), frames=FRAMES), reference_input(FRAMES), *outputs)


def test_the_graph_computes_what_the_packages_network_does(golden: dict[str, Any]) -> None:
    logits = recipe_logits()
    assert logits.shape == (1, 3, 400)
    np.testing.assert_allclose(logits[0], golden["step_logits"], rtol=0, atol=1e-4)


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_hands_on_what_the_packages_does(golden: dict[str, Any], stage: str) -> None:
    values = recipe_logits(stage).astype(np.float64)
    np.testing.assert_allclose([values.mean(), values.std()], golden[f"stage/{stage}"], rtol=1e-4)


def _other_epsilon(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(weights, "BATCH_NORM_EPSILON", 1e-5)


def _symmetric_padding(patch: pytest.MonkeyPatch) -> None:
    same = graph._same_pads

    def pads(*arguments: Any) -> tuple[int, ...]:
        at = same(*arguments)
        return (*at[3:], *at[:3])

    patch.setattr(graph, "_same_pads", pads)


@pytest.mark.parametrize("break_it", [_other_epsilon, _symmetric_padding])
def test_what_is_built_otherwise_shows(golden: dict[str, Any], monkeypatch: pytest.MonkeyPatch, break_it: Any) -> None:
    break_it(monkeypatch)
    assert np.abs(recipe_logits()[0] - golden["step_logits"]).max() > 0.02


@pytest.mark.parametrize("axis", [1, 2], ids=["red comes first", "time runs forward"])
def test_the_order_of_colours_and_of_frames_shows(golden: dict[str, Any], axis: int) -> None:
    logits = run_from(recipe_model(), np.ascontiguousarray(np.flip(reference_input(FRAMES), axis)))
    assert np.abs(logits[0] - golden["step_logits"]).max() > 0.02


def test_the_graph_keeps_the_contract() -> None:
    model = one_step_model()
    assert (model.opset_import[0].version, model.ir_version) == (17, 9)
    assert [node.op_type for node in model.graph.node[:2]] == ["Cast", "Transpose"]
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    clips = np.random.default_rng(0).integers(0, 256, (2, ONE_STEP, 224, 224, 3), dtype=np.uint8)
    logits, embedding = session.run(None, {"clips": clips})
    alone = session.run(None, {"clips": clips[1:]})
    assert (logits.shape, embedding.shape) == ((2, 1, 400), (2, 1024))
    np.testing.assert_allclose(logits[1:], alone[0], atol=1e-4)
    np.testing.assert_allclose(embedding[1:], alone[1], atol=1e-4)


def test_the_embedding_is_what_the_logits_are_made_of() -> None:
    model = one_step_model()
    clips = reference_input(ONE_STEP)
    embedding, logits = run_from(model, clips, "embedding"), run_from(model, clips)
    head = convolutions(recipe_arrays())[network.HEAD]
    np.testing.assert_allclose(embedding @ head.kernel[:, :, 0, 0, 0].T + head.bias, logits.mean(axis=1), atol=1e-4)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        pytest.param({"params.Conv3d_1a_7x7.Conv_0.kernel": None}, "is missing", id="missing"),
        pytest.param({"params.more": np.ones(1, np.float32)}, "is not of I3D", id="one more"),
        pytest.param(
            {"params.Logits/Conv3d_0c_1x1.Conv_0.bias": np.ones(10, np.float32)}, "is [10], not [400]", id="shape"
        ),
        pytest.param(
            {"params.Logits/Conv3d_0c_1x1.Conv_0.bias": np.full(400, np.nan, np.float32)}, "not finite", id="nan"
        ),
        pytest.param(
            {"batch_stats.Conv3d_1a_7x7.BatchNorm_0.var": np.full((1, 1, 1, 1, 64), -1, np.float32)},
            "is negative",
            id="variance",
        ),
    ],
)
def test_arrays_of_another_network_are_refused(change: dict[str, Any], why: str) -> None:
    arrays = {name: values for name, values in (recipe_arrays() | change).items() if values is not None}
    with pytest.raises(CheckpointError) as refused:
        convolutions(arrays)
    assert refused.value.code == "checkpoint_mismatch"
    assert why in refused.value.message


def test_steps_and_their_frames() -> None:
    assert [steps_of(frames) for frames in (16, 32, 64)] == [1, 3, 7]
    assert [frames_of_step(step) for step in (0, 6)] == [(0, 15), (48, 63)]
    for frames in (8, 20):
        with pytest.raises(ValueError, match=str(frames)):
            steps_of(frames)


def test_there_are_as_many_numbers_as_published() -> None:
    trained = [shape for name, shape in array_shapes().items() if not name.startswith("batch_stats")]
    assert sum(int(np.prod(shape)) for shape in trained) == 12_689_984
    assert len(array_shapes()) == 230


@pytest.fixture
def short_gate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> onnx.ModelProto:
    """A graph of the recipe, and the gate of one step with this graph's own answer as the reference."""
    model = onnx.ModelProto()
    model.CopyFrom(one_step_model())
    reference = tmp_path / "logits.txt"
    np.savetxt(reference, run_from(model, reference_input(ONE_STEP))[0])
    monkeypatch.setattr(parity, "REFERENCE", reference)
    monkeypatch.setattr(parity, "FRAMES", ONE_STEP)
    assert check_parity(model) < 1e-4
    return model


def change(model: onnx.ModelProto, name: str, value: Any) -> None:
    """Another value of one constant."""
    (constant,) = (constant for constant in model.graph.initializer if constant.name == name)
    constant.CopyFrom(onnx.numpy_helper.from_array(np.asarray(value, np.float32), name))


def test_the_gate_sees_a_graph_that_scales_pixels_otherwise(short_gate: onnx.ModelProto) -> None:
    change(short_gate, "pixel_scale", 128.0)
    with pytest.raises(ParityError, match="pixels"):
        check_parity(short_gate)


def test_other_weights_do_not_pass_the_gate(short_gate: onnx.ModelProto) -> None:
    name = f"{network.HEAD}.bias"
    bias = convolutions(recipe_arrays())[network.HEAD].bias.copy()
    bias[7] += 0.002
    change(short_gate, name, bias)
    with pytest.raises(ParityError, match=r"differ by 0\.002"):
        check_parity(short_gate)
