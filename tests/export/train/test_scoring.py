from __future__ import annotations

import numpy as np
import pytest

from laps_export.train.scoring import calibration_error, fit_temperature, score, softmax, wilson


def test_scores_of_a_small_set_by_hand() -> None:
    # Four clips of two frames, three classes; the third clip is wrong, and one frame of the first.
    logits = np.zeros((4, 2, 3))
    logits[0, :, 0] = (3, -1)
    logits[1, :, 1] = 2
    logits[2, :, 0] = 2
    logits[3, :, 2] = 2
    frame_labels = np.array([[0, 0], [1, -100], [2, 2], [2, 2]])
    travel = np.array([0.0, 1.0, 0.5, 2.0])
    scores = score(logits, labels=np.array([0, 1, 2, 2]), frame_labels=frame_labels, travel=travel)
    assert scores.top1 == 0.75
    assert scores.frame_top1 == pytest.approx(4 / 7)
    assert scores.per_class.tolist() == [1.0, 1.0, 0.5]
    assert scores.confusion.tolist() == [[1, 0, 0], [0, 1, 0], [1, 0, 1]]
    # The slower of the third class is the wrong one; the first class does not move.
    assert scores.slowest == 0.5
    assert scores.to_json()["top1"] == 0.75


def test_wilson_is_the_published_interval() -> None:
    assert wilson(95, 100) == pytest.approx((0.8883, 0.9785), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(10, 10)[1] == pytest.approx(1.0)


def test_calibration_error_is_zero_where_confidence_is_accuracy() -> None:
    sure = np.array([[0.75, 0.25]] * 4)
    assert calibration_error(sure, np.array([0, 0, 0, 1])) == pytest.approx(0.0)
    assert calibration_error(sure, np.array([0, 0, 0, 0])) == pytest.approx(0.25)


def test_the_fitted_temperature_is_the_one_that_made_the_labels() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (20_000, 1, 5))
    probabilities = softmax(logits[:, 0] / 1.7)
    labels = (probabilities.cumsum(axis=1) < rng.random((20_000, 1))).sum(axis=1)
    assert fit_temperature(logits, labels) == pytest.approx(1.7, rel=0.05)
