from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from laps_export.errors import GraphError, ParityError
from laps_export.families.laps.visformer import Laps
from laps_export.graph import parity as verify
from laps_export.graph.parity import (
    FLOAT32_GATE,
    ParityGate,
    check_parity,
    compare,
    count_swaps,
    open_session,
    spread_of,
)
from support.small_laps import as_model

SHORT = ParityGate(batch_sizes=(1, 2))


def test_a_right_graph_passes_and_says_by_how_much(small_graph: Path, small_model: Laps) -> None:
    steps: list[tuple[str, int, int]] = []
    parity = check_parity(as_model(small_model), small_graph, on_progress=lambda *step: steps.append(step))
    assert 0 < parity.max_abs_diff < 1e-4
    assert (parity.tolerance, parity.batch_sizes) == (1e-3, (1, 3, 16))
    assert {what for what, _, _ in steps} >= {"ONNX Runtime, noise, batch 3", "torch, photographs"}
    done = [step[1] for step in steps]
    assert done == sorted(done)
    assert steps[-1][1:] == (72, 72)


def test_a_graph_of_other_weights_fails(small_graph: Path, small_model: Laps) -> None:
    with torch.no_grad():
        small_model.head.bias[3] += 0.002
    with pytest.raises(ParityError) as caught:
        check_parity(as_model(small_model), small_graph, gate=SHORT)
    assert caught.value.code == "parity_logits"
    assert "0.002" in caught.value.message
    assert "allowed are 0.001" in caught.value.message


def test_the_graph_of_another_network_fails_however_small_its_logits_are(
    small_graph: Path, small_model: Laps, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = verify.run_outputs
    with torch.no_grad():
        small_model.head.weight.mul_(1e-4)
        small_model.head.bias.mul_(1e-4)
    monkeypatch.setattr(verify, "run_outputs", lambda *args: tuple(x * np.float32(1e-4) for x in run(*args)))
    parity = check_parity(as_model(small_model), small_graph, gate=SHORT)
    assert parity.max_abs_diff < 1e-8
    with torch.no_grad():
        small_model.head.weight.copy_(small_model.head.weight.flip(0))
    with pytest.raises(ParityError) as caught:
        check_parity(as_model(small_model), small_graph, gate=SHORT)
    assert caught.value.code == "parity_relative"
    assert caught.value.hint


@pytest.mark.parametrize("bias", [0.0, 3.0])
def test_a_model_that_answers_every_frame_alike_fails(small_graph: Path, small_model: Laps, bias: float) -> None:
    with torch.no_grad():
        small_model.head.weight.zero_()
        small_model.head.bias.fill_(bias)
    with pytest.raises(ParityError) as caught:
        check_parity(as_model(small_model), small_graph, gate=SHORT)
    assert caught.value.code == "parity_constant"
    assert caught.value.hint


def test_the_spread_is_about_each_class_own_mean() -> None:
    frames = np.array([[[1.0, 100.0], [3.0, 100.0]], [[1.0, 102.0], [3.0, 102.0]]], np.float32)  # [B, T, K]
    assert spread_of(frames) == pytest.approx(1.0)


def test_weights_that_give_no_number_fail(small_graph: Path, small_model: Laps) -> None:
    with torch.no_grad():
        small_model.state_dict()["norm.bn.running_var"].fill_(-1.0)
    with pytest.raises(ParityError) as caught:
        check_parity(as_model(small_model), small_graph, gate=SHORT)
    assert caught.value.code == "parity_not_finite"


def test_a_file_that_does_not_load(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(GraphError) as caught:
        open_session(tmp_path / "model.onnx")
    assert caught.value.code == "graph_does_not_run"


def _logits(*clip: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.array([[clip]], np.float32)  # [1, 1, K]


def test_compare_returns_the_largest_difference() -> None:
    worst = compare(_logits(1, 2, 3), _logits(1, 2.0005, 3), gate=FLOAT32_GATE, spread=1.0, what="x")
    assert worst == pytest.approx(5e-4, rel=1e-3)


def test_compare_refuses_another_shape() -> None:
    with pytest.raises(ParityError) as caught:
        compare(_logits(1, 2), _logits(1, 2, 3), gate=FLOAT32_GATE, spread=1.0, what="x")
    assert caught.value.code == "parity_shape"


def test_a_loose_tolerance_still_guards_the_order() -> None:
    loose = ParityGate(tolerance=1.0, gap=0.1)
    with pytest.raises(ParityError) as caught:
        compare(_logits(1.0, 1.2), _logits(1.2, 1.0), gate=loose, spread=100.0, what="int8")
    assert caught.value.code == "parity_order"
    compare(_logits(1.0, 1.05), _logits(1.05, 1.0), gate=loose, spread=100.0, what="int8")


def test_swaps_count_among_the_top_and_against_the_rest() -> None:
    reference = np.array([9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0], np.float32)
    deep = reference.copy()
    deep[[5, 6]] = deep[[6, 5]]  # below the top five: not asked for
    assert count_swaps(reference, deep, gap=0.1) == 0
    risen = reference.copy()
    risen[6] = 8.5  # passes four of the top five
    assert count_swaps(reference, risen, gap=0.1) == 4
    assert count_swaps(reference, risen, gap=4.5) == 1
