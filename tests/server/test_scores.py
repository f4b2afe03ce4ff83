from __future__ import annotations

import numpy as np
import pytest

from laps_server.scores import Scoring, margin, probabilities, rank, unit_length, video_logits, votes


def test_video_logits_are_the_mean_over_views_of_the_mean_over_frames() -> None:
    views = np.arange(2 * 3 * 2, dtype=np.float32).reshape(2, 3, 2)
    np.testing.assert_allclose(video_logits(views), [5.0, 6.0])


def test_per_clip_logits_are_averaged_over_views_only() -> None:
    np.testing.assert_allclose(video_logits(np.array([[1.0, 2.0], [3.0, 6.0]], np.float32)), [2.0, 4.0])


def test_softmax_survives_large_logits_and_sums_to_one() -> None:
    scores = probabilities(np.array([1000.0, 999.0, -1000.0]), activation="softmax", temperature=1.0)
    np.testing.assert_allclose(scores, [1 / (1 + np.exp(-1.0)), np.exp(-1.0) / (1 + np.exp(-1.0)), 0.0], atol=1e-12)


def test_temperature_divides_the_logits() -> None:
    logits = np.array([2.0, 0.0])
    warm = probabilities(logits, activation="softmax", temperature=2.0)
    np.testing.assert_allclose(warm, probabilities(logits / 2, activation="softmax", temperature=1.0))
    assert warm[0] < probabilities(logits, activation="softmax", temperature=1.0)[0]


def test_sigmoid_scores_each_label_alone() -> None:
    scores = probabilities(np.array([0.0, 800.0, -800.0]), activation="sigmoid", temperature=1.0)
    np.testing.assert_allclose(scores, [0.5, 1.0, 0.0], atol=1e-12)


def test_rank_is_best_first_and_ties_keep_label_order() -> None:
    ranking = rank(np.array([0.2, 0.4, 0.4]), ["a", "b", "c"], 2)
    assert [(item.label, item.index) for item in ranking] == [("b", 1), ("c", 2)]


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_probabilities_keep_the_order_of_logits(activation: str) -> None:
    logits = np.random.default_rng(0).standard_normal(50)
    scores = probabilities(logits, activation="softmax" if activation == "softmax" else "sigmoid", temperature=0.7)
    np.testing.assert_array_equal(np.argsort(scores), np.argsort(logits))


def test_probabilities_are_averaged_after_temperature_and_activation_and_logits_before() -> None:
    view_logits = np.array([[4.0, 0.0], [0.0, 2.0]])
    own = probabilities(view_logits, activation="softmax", temperature=2.0)
    of_probabilities = Scoring("softmax", 2.0, "probabilities")
    np.testing.assert_allclose(
        of_probabilities.scores(of_probabilities.terms(view_logits).mean(axis=0)), own.mean(axis=0)
    )
    of_logits = Scoring("softmax", 2.0)
    expected = probabilities(np.array([2.0, 1.0]), activation="softmax", temperature=2.0)
    np.testing.assert_allclose(of_logits.scores(of_logits.terms(view_logits).mean(axis=0)), expected)
    assert abs(own.mean(axis=0)[0] - expected[0]) > 0.01


def test_a_ranking_among_some_labels_keeps_their_scores_and_places() -> None:
    ranking = rank(np.array([0.5, 0.1, 0.3, 0.1]), ["a", "b", "c", "d"], 3, among=np.array([1, 2, 3]))
    assert [(item.label, item.index, item.score) for item in ranking] == [("c", 2, 0.3), ("b", 1, 0.1), ("d", 3, 0.1)]


def test_each_view_votes_for_its_own_best_label() -> None:
    view_scores = np.array([[0.6, 0.3, 0.1], [0.1, 0.2, 0.7], [0.5, 0.5, 0.0]])
    assert votes(view_scores).tolist() == [2, 0, 1]
    assert votes(view_scores, among=np.array([1, 2])).tolist() == [0, 2, 1]


def test_the_margin_is_between_the_first_two_that_are_ranked() -> None:
    scores = np.array([0.1, 0.6, 0.3])
    assert margin(scores) == pytest.approx(0.3)
    assert margin(scores, among=np.array([0, 2])) == pytest.approx(0.2)
    assert margin(scores, among=np.array([2])) == margin(np.array([0.3])) == 0.3


def test_a_vector_is_brought_to_length_1_and_zeros_stay() -> None:
    np.testing.assert_allclose(unit_length(np.array([3.0, 0.0, 4.0])), [0.6, 0.0, 0.8])
    np.testing.assert_array_equal(unit_length(np.zeros(2)), [0.0, 0.0])
