from __future__ import annotations

import numpy as np
import pytest

from laps_export.quantize.engine_parity import Scores, compare
from laps_export.quantize.parity_limits import MIN_VIEWS, labels_needed
from laps_export.repository.manifest import EngineParity

CLASSES = 30


def reference(*, views: int = MIN_VIEWS, labels: int = 20) -> Scores:
    """Every view is sure of one label; the labels take turns."""
    scores = np.full((views, CLASSES), 0.01)
    scores[np.arange(views), np.arange(views) % labels] = 0.71
    return scores


def compared(scores: Scores, wanted: Scores) -> EngineParity:
    return compare(wanted, scores, engine="ort", instruction_set="avx2")


def test_the_same_scores_hold() -> None:
    record = compared(reference(), reference())
    assert record == EngineParity(
        engine="ort",
        instruction_set="avx2",
        views=MIN_VIEWS,
        labels=20,
        agreement=1.0,
        mean_shift=0.0,
        p99_shift=0.0,
        holds=True,
    )


def test_shifts_are_those_of_the_label_that_leads_in_float32() -> None:
    wanted = reference()
    scores = wanted.copy()
    scores[0] = np.roll(wanted[0], 1)  # its label loses 0.7, another one leads
    scores[1, 5] = 0.4  # of no leading label
    record = compared(scores, wanted)
    assert record.agreement == 0.999
    assert record.mean_shift == pytest.approx(0.7 / MIN_VIEWS)
    assert (record.p99_shift, record.holds) == (0, True)


@pytest.mark.parametrize(
    ("changed", "shift", "holds"),
    [
        (5, 0.701, True),
        (6, 0.701, False),
        (9, 0.2, True),
        (11, 0.2, False),
        (MIN_VIEWS, 0.009, True),
        (MIN_VIEWS, 0.011, False),
    ],
)
def test_each_limit_is_held(changed: int, shift: float, holds: bool) -> None:
    """Labels that change, shifts that are rare, and shifts that are small but everywhere."""
    wanted = reference()
    scores = wanted.copy()
    top = wanted[:changed].argmax(axis=1)
    scores[np.arange(changed), top] -= shift
    assert compared(scores, wanted).holds is holds


@pytest.mark.parametrize(("views", "labels", "holds"), [(MIN_VIEWS, 19, False), (MIN_VIEWS - 1, 20, False)])
def test_too_few_views_or_labels_hold_nothing(views: int, labels: int, holds: bool) -> None:
    wanted = reference(views=views, labels=labels)
    record = compared(wanted, wanted)
    assert (record.labels, record.holds) == (labels, holds)


def test_a_model_of_few_labels_needs_all_of_them() -> None:
    assert (labels_needed(10), labels_needed(400)) == (10, 20)
