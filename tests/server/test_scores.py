from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from laps_server.scores import frame_logits, probabilities, rank, video_logits


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


def test_a_frame_in_several_views_gets_the_mean_of_its_occurrences() -> None:
    # Two clips of two frames share frame 1; three crops each.
    clip_frames = np.array([[0, 1], [1, 2]])
    view_logits = np.arange(6 * 2 * 1, dtype=np.float32).reshape(6, 2, 1)
    merged = frame_logits(view_logits, clip_frames, spatial_views=3, frame_count=3)
    np.testing.assert_allclose(merged[:, 0], [np.mean([0, 2, 4]), np.mean([1, 3, 5, 6, 8, 10]), np.mean([7, 9, 11])])


def test_a_wrapped_clip_counts_every_occurrence() -> None:
    merged = frame_logits(np.array([[[1.0], [2.0], [4.0]]]), np.array([[0, 1, 0]]), spatial_views=1, frame_count=2)
    np.testing.assert_allclose(merged[:, 0], [2.5, 2.0])


@given(st.integers(1, 4), st.sampled_from([1, 3]), st.integers(1, 6), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_where_each_frame_occurs_once_a_clip_the_clip_mean_is_kept(
    temporal: int, spatial: int, frames: int, classes: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.standard_normal((temporal * spatial, frames, classes))
    places = np.arange(temporal * frames).reshape(temporal, frames)
    merged = frame_logits(logits, places, spatial_views=spatial, frame_count=temporal * frames)
    np.testing.assert_allclose(merged.mean(axis=0), video_logits(logits), atol=1e-12)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_probabilities_keep_the_order_of_logits(activation: str) -> None:
    logits = np.random.default_rng(0).standard_normal(50)
    scores = probabilities(logits, activation="softmax" if activation == "softmax" else "sigmoid", temperature=0.7)
    np.testing.assert_array_equal(np.argsort(scores), np.argsort(logits))
