"""Which candidate is taken, from tables of what was measured."""

from __future__ import annotations

import numpy as np
import pytest

from laps_server.engines.choices import Candidate
from laps_server.engines.trial import Measured, Shift, Timing, decide, next_to_check, shift

EXACT = Candidate("ort", "float32")
FAST = Candidate("openvino", "float32")
BF16 = Candidate("openvino", "bfloat16")
INT8 = Candidate("openvino", "int8")
NEAR, FAR = Shift(0.05, 0), Shift(0.051, 0)
OTHER_LABEL = Shift(0.01, 1)


def known(candidate: Candidate, ms: float, found: Shift | None = None) -> Measured:
    return Measured(candidate, Timing(ms, ms), found)


@pytest.mark.parametrize(
    ("measured", "taken", "verdicts"),
    [
        pytest.param([known(EXACT, 4)], EXACT, ["taken: there is no other"], id="alone"),
        pytest.param(
            [known(EXACT, 4), known(FAST, 2)],
            FAST,
            ["taken: the fastest whose answers hold", "slower"],
            id="the faster of two exact ones, which nobody compares",
        ),
        pytest.param([known(FAST, 2), known(BF16, 3)], FAST, None, id="a coarser one that is slower is not compared"),
        pytest.param([known(FAST, 2), known(BF16, 1, NEAR)], BF16, None, id="a coarser one that holds"),
        pytest.param(
            [known(FAST, 2), known(BF16, 1, FAR)],
            FAST,
            ["its answers do not hold", "taken: the fastest whose answers hold"],
            id="a coarser one that moved too far",
        ),
        pytest.param([known(FAST, 2), known(BF16, 1, OTHER_LABEL)], FAST, None, id="a label changed"),
        pytest.param(
            [known(FAST, 3), known(BF16, 2, NEAR), known(INT8, 1, FAR)], BF16, None, id="the next one that holds"
        ),
        pytest.param(
            [known(FAST, 3, Shift(0.2, 0)), known(EXACT, 4)], EXACT, None, id="an exact one that was found to differ"
        ),
        pytest.param(
            [Measured(FAST, failure="no memory"), known(EXACT, 4)],
            EXACT,
            ["taken: the fastest whose answers hold", "failed: no memory"],
            id="one that cannot run",
        ),
    ],
)
def test_the_cheapest_whose_answers_hold_is_taken(
    measured: list[Measured], taken: Candidate, verdicts: list[str] | None
) -> None:
    choice = decide(measured, reference=EXACT, views=8, pinned=False)
    assert choice is not None
    assert (choice.candidate, choice.holds) == (taken, True)
    costs = [item.cost for item in choice.measured]
    assert costs == sorted(costs)
    if verdicts is not None:
        assert [choice.verdict(item) for item in choice.measured] == verdicts


def test_the_cheapest_is_compared_before_it_is_taken() -> None:
    measured = [known(FAST, 3), known(BF16, 2), known(INT8, 1)]
    assert decide(measured, reference=FAST, views=8, pinned=False) is None
    assert next_to_check(measured, reference=FAST) == INT8
    measured[2] = known(INT8, 1, FAR)
    assert decide(measured, reference=FAST, views=8, pinned=False) is None
    assert next_to_check(measured, reference=FAST) == BF16


def test_one_that_was_asked_for_is_taken_though_it_does_not_hold() -> None:
    choice = decide([known(BF16, 2, OTHER_LABEL), known(INT8, 1, FAR)], reference=FAST, views=8, pinned=True)
    assert choice is not None
    assert (choice.candidate, choice.holds) == (INT8, False)
    assert choice.verdict(choice.taken) == "taken though it does not hold, since the settings leave no other"


def test_where_none_can_run_none_is_taken() -> None:
    assert decide([Measured(FAST, failure="no memory")], reference=FAST, views=8, pinned=True) is None


def test_a_shift_is_that_of_the_references_top_label_on_the_view_where_it_is_largest() -> None:
    reference = np.array([[0.7, 0.2, 0.1], [0.1, 0.5, 0.4]])
    scores = np.array([[0.68, 0.1, 0.22], [0.0, 0.46, 0.54]])
    found = shift(reference, scores)
    assert found.labels_changed == 1
    assert found.largest == pytest.approx(0.04)
    assert shift(reference, reference) == Shift(0.0, 0)


@pytest.mark.parametrize(
    ("timing", "slower"),
    [(Timing(14, 14), False), (Timing(16, 16), True), (Timing(50, 10), False), (Timing(10, 20), True)],
)
def test_processors_count_more_than_the_clock(timing: Timing, *, slower: bool) -> None:
    assert timing.is_clearly_slower_than(Timing(10, 10)) == slower
    assert not timing.is_clearly_slower_than(None)


def test_of_a_gpus_work_only_the_clock_tells() -> None:
    busy_waiting, asleep = Timing(10, 10, elsewhere=True), Timing(20, 1, elsewhere=True)
    assert busy_waiting.cost < asleep.cost
    assert Timing(10, 10).cost > Timing(20, 1).cost
