"""Figures are ratios of what one run measured, and each knows whether it reached what it must."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from bench.figures import Figure, cpu, figures, ratio, wall
from bench.machine import Machine
from bench.measured import Cost, EngineCost, MemoryRun, ModelRun, Peak, PeerCost, Run

MACHINE = Machine(
    cpu="a processor",
    cores=2,
    clock_mhz=2600,
    memory_gib=24,
    instruction_sets=("avx512_bf16",),
    load=0,
    busy=0,
    system="Linux",
    packages={},
)
MIB = 2**20


def costs(*seconds: float) -> list[Cost]:
    """Of rounds in which the wall clock says twice as much."""
    return [Cost(value, 2 * value) for value in seconds]


def engine(name: str, precision: str, seconds: float, why_not: str | None = None) -> EngineCost:
    return EngineCost(name, precision, 1, costs(seconds, seconds), 0.0, 0, why_not)


# Decoding is 1, float32 views are 9, bfloat16 views are 4.
MODEL = ModelRun(
    name="i3d-kinetics400",
    views=3,
    gmacs=100,
    default_engine="openvino bfloat16",
    ours=costs(5.2, 5.2),
    ours_float32=costs(10.4, 10.4),
    peers=[
        PeerCost("slow", "1 x 2 threads", {}, costs(20, 20)),
        PeerCost("fast", "1 x 2 threads", {}, costs(13, 13)),
        PeerCost("wrong", "1 x 2 threads", {}, [], refused="another label"),
    ],
    engines=[
        engine("ort", "float32", 9),
        engine("openvino", "bfloat16", 4),
        engine("openvino", "int8", 1, why_not="no record"),
    ],
    decode=costs(1, 1),
    ffmpeg=costs(0.8, 0.8),
    ffmpeg_to_rgb=costs(0.9, 0.9),
    peaks=[
        Peak("torch", "bfloat16", tuple(costs(0.05, 0.05)), gflop=10),
        Peak("openvino", "bfloat16", tuple(costs(0.1, 0.1)), gflop=10),
        Peak("torch", "float32", tuple(costs(0.001, 0.001)), gflop=10),
    ],
)
MEMORY = [
    MemoryRun(10, 100 * MIB, {1: 130 * MIB, 32: 420 * MIB}),
    MemoryRun(7200, 100 * MIB, {1: 140 * MIB, 32: 740 * MIB}),
]


def table(model: ModelRun = MODEL, machine: Machine = MACHINE) -> dict[str, Figure]:
    run = Run("2026-01-01T00:00:00+00:00", False, machine, [model], MEMORY)
    names = ("peer", "overhead", "bare", "peak", "ffmpeg", "uploads", "length")
    return dict(zip(names, figures(run), strict=True))


def test_the_best_peer_is_the_one_of_least_processor_seconds_among_those_that_were_timed() -> None:
    figure = table()["peer"]
    assert figure.value == pytest.approx(13 / 5.2)
    assert "fast over ours" in figure.how


def test_the_bound_stands_on_the_fastest_engine_that_the_server_may_choose() -> None:
    figure = table()["peer"]
    assert "bound 2.60 by openvino bfloat16" in figure.how
    assert figure.limit == pytest.approx(0.85 * 13 / 5)
    assert figure.reached


@pytest.mark.parametrize(
    ("instruction_sets", "limit"),
    [
        pytest.param(("avx512_bf16",), 2.0, id="bf16 without AMX"),
        pytest.param(("avx512_bf16", "amx_bf16"), 0.85 * 10 / 5, id="AMX"),
        pytest.param(("avx2",), 0.85 * 10 / 5, id="no bf16"),
    ],
)
def test_the_floor_is_asked_of_bf16_without_amx_alone(instruction_sets: tuple[str, ...], limit: float) -> None:
    model = replace(MODEL, peers=[PeerCost("only", "", {}, costs(10, 10))])
    figure = table(model, replace(MACHINE, instruction_sets=instruction_sets))["peer"]
    assert figure.limit == pytest.approx(limit)


def test_overhead_is_what_is_left_beside_the_float32_views_on_both_sides() -> None:
    figure = table()["overhead"]
    assert figure.value == pytest.approx((10.4 - 9) / (13 - 9))
    assert figure.reached


def test_an_overhead_below_nothing_is_none_and_a_peers_below_nothing_is_no_figure() -> None:
    assert table(replace(MODEL, ours_float32=costs(8, 8)))["overhead"].value == 0
    unclear = table(replace(MODEL, peers=[PeerCost("only", "", {}, costs(8.9, 8.9))]))["overhead"]
    assert math.isnan(unclear.value)
    assert not unclear.reached


def test_over_bare_is_by_the_engine_that_the_server_answered_with() -> None:
    figure = table()["bare"]
    assert figure.value == pytest.approx(5.2 / (1 + 4))
    assert figure.reached
    float32 = table(replace(MODEL, default_engine="ort float32"))["bare"]
    assert float32.value == pytest.approx(5.2 / (1 + 9))


def test_the_peak_is_the_best_librarys_at_the_engines_precision() -> None:
    figure = table()["peak"]
    assert figure.value == pytest.approx((2 * 100 * 3 / 4) / (10 / 0.05))
    assert "torch" in figure.how


def test_decoding_is_held_against_ffmpegs() -> None:
    figure = table()["ffmpeg"]
    assert figure.value == pytest.approx(1 / 0.8)
    assert not figure.reached


def test_memory_is_a_slots_by_the_length_of_the_videos() -> None:
    figure = table()["length"]
    assert figure.value == pytest.approx((640 / 32) / (320 / 32))
    assert not figure.reached


def test_memory_is_a_slots_by_the_number_of_uploads_at_the_length_where_it_grows_most() -> None:
    figure = table()["uploads"]
    assert figure.value == pytest.approx((640 / 32) / 40)
    assert figure.reached


def test_a_ratio_is_the_median_of_rounds_so_that_one_bad_round_is_nothing() -> None:
    assert ratio(costs(2, 4, 90), costs(1, 2, 3), cpu) == 2
    assert ratio([Cost(2, 6)], [Cost(1, 2)], wall) == 3


def test_a_ratio_to_nothing_is_no_number() -> None:
    assert math.isnan(ratio(costs(1), costs(0), cpu))
