"""Which layers stay in float32, by a measurement that is made up: each group has its damage, and damages add up."""

from __future__ import annotations

import pytest
from onnx import ModelProto

from laps_export.quantize.layer_choice import DAMAGE_VIEWS, LayerChoice, choose_layers, near_enough
from laps_export.quantize.quantized_graph import layer_groups, quantize, read_graph
from laps_export.repository.manifest import EngineParity
from support.quantizable_models import colour_views, convolution_graph


def record(mean: float, *, p99: float = 0.0, agreement: float = 1.0) -> EngineParity:
    return EngineParity(
        engine="ort",
        instruction_set="amx_int8",
        views=200,
        labels=4,
        agreement=agreement,
        mean_shift=mean,
        p99_shift=p99,
        holds=False,
    )


@pytest.mark.parametrize(
    ("measured", "near"),
    [
        (record(0.008, p99=0.04, agreement=0.995), True),
        (record(0.0081), False),
        (record(0.0, p99=0.041), False),
        (record(0.0, agreement=0.99), False),
    ],
    ids=["all at their margin", "mean", "99th percentile", "labels"],
)
def test_what_is_near_enough_has_a_margin(measured: EngineParity, near: bool) -> None:
    assert near_enough(measured) is near


class Measured:
    """Damage of the groups that a graph still quantises, by how many readers of quantised activations they have."""

    def __init__(self, damage: list[float]) -> None:
        self.damage = damage
        self.counts: list[int | None] = []

    def __call__(self, proto: ModelProto, count: int | None) -> EngineParity:
        self.counts.append(count)
        made = {output: node.op_type for node in proto.graph.node for output in node.output}
        products = [node for node in proto.graph.node if node.op_type in {"Conv", "MatMul"}]
        reads = [any(made.get(name) == "DequantizeLinear" for name in _activations(node, proto)) for node in products]
        return record(sum(cost for cost, read in zip(self.damage, reads, strict=True) if read))


def _activations(node: object, proto: ModelProto) -> list[str]:
    """The first input, past what only gives it another shape."""
    made = {output: step for step in proto.graph.node for output in step.output}
    name = node.input[0]  # type: ignore[attr-defined]
    while name in made and made[name].op_type in {"Reshape", "Relu"}:
        name = made[name].input[0]
    return [name]


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> tuple[ModelProto, ModelProto]:
    path = tmp_path_factory.mktemp("graph") / "model.onnx"
    path.write_bytes(convolution_graph().SerializeToString())
    source = read_graph(path)
    return source, quantize(source, colour_views(8))


@pytest.mark.parametrize(
    ("damage", "left_out", "first"),
    [
        ([0.004, 0.004], 0, "Conv"),
        ([0.02, 0.004], 1, "Conv"),
        ([0.004, 0.02], 1, "MatMul"),
        ([0.02, 0.03], 1, "MatMul"),
    ],
    ids=["near enough", "the first hurts", "the second hurts", "both do, and half may be left out"],
)
def test_groups_are_left_out_by_their_damage(
    graphs: tuple[ModelProto, ModelProto], damage: list[float], left_out: int, first: str
) -> None:
    source, quantized = graphs
    groups = layer_groups(source, 14)
    assert len(groups) == 3
    measure = Measured(damage)
    choice = choose_layers(quantized, source, groups, measure, on_progress=lambda *_: None)
    assert choice.left_out == left_out
    assert measure.counts == ([None] if left_out == 0 else [None, *[DAMAGE_VIEWS] * len(groups)])
    assert any(name.startswith(first) for name in choice.order[0])


@pytest.mark.parametrize("enough", [1, 2, 3, 5, 6])
def test_no_more_is_left_out_than_is_needed(graphs: tuple[ModelProto, ModelProto], enough: int) -> None:
    """Of a dozen groups: how many were left out is told by the measurement, which is asked few times."""
    source, quantized = graphs
    groups = [frozenset([f"group {number}"]) for number in range(12)]
    asked: list[int] = []

    def measure(_proto: ModelProto, count: int | None) -> EngineParity:
        if count is not None or not asked:
            asked.append(0)
            return record(1.0)
        return record(0.0 if told[-1] >= enough else 1.0)

    told: list[int] = []
    choice = choose_layers(
        quantized, source, groups, measure, on_progress=lambda what, done, _: told.append(done if "out" in what else 0)
    )
    assert choice.left_out == enough
    assert len([done for done in told if done]) <= 4


def test_nodes_of_the_first_groups_stay_in_float32() -> None:
    choice = LayerChoice((frozenset("ab"), frozenset("c"), frozenset("d")), 1)
    assert [choice.in_float(count) for count in (0, 1, 2)] == [frozenset(), frozenset("ab"), frozenset("abc")]
