"""Rows of a model's output on the time axis of a video, and rows of several views as one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from laps_server.scores import video_logits
from laps_server.time_rows import merged_rows, row_spans

STEPS = ((0, 1), (2, 3))


def merged(
    view_rows: object, clips: Sequence[Sequence[int]], spans: Sequence[tuple[int, int]]
) -> list[tuple[int, int, float]]:
    """First frame, last frame and mean of each row of one label, of frames that are a second apart."""
    rows = np.asarray(view_rows, dtype=float)[..., None]
    stretches, means = merged_rows(rows, np.array(clips), range(100), spans=spans)
    return [(int(a), int(b), float(mean)) for (a, b), (mean,) in zip(stretches, means, strict=True)]


def test_a_row_speaks_for_a_frame_a_step_or_the_clip() -> None:
    assert row_spans("per_frame", clip_frames=3, steps=None) == ((0, 0), (1, 1), (2, 2))
    assert row_spans("per_step", clip_frames=4, steps=STEPS) == STEPS
    assert row_spans("per_clip", clip_frames=4, steps=None) == ((0, 3),)


def test_a_frame_in_several_views_gets_the_mean_of_its_occurrences() -> None:
    # Two clips of two frames share frame 1; three crops each.
    rows = np.arange(12).reshape(6, 2)
    assert merged(rows, [[0, 1], [1, 2]], ((0, 0), (1, 1))) == [
        (0, 0, (0 + 2 + 4) / 3),
        (1, 1, (1 + 3 + 5 + 6 + 8 + 10) / 6),
        (2, 2, (7 + 9 + 11) / 3),
    ]


def test_a_frame_that_a_wrapped_clip_has_twice_counts_twice() -> None:
    assert merged([[1, 2, 4]], [[0, 1, 0]], ((0, 0), (1, 1), (2, 2))) == [(0, 0, 2.5), (1, 1, 2.0)]


def test_steps_of_the_same_stretch_are_averaged_over_clips_and_crops() -> None:
    clips = [[0, 1, 2, 3], [2, 3, 4, 5]]
    rows = [[1, 2], [3, 4], [10, 20], [30, 40]]  # two crops of each clip
    assert merged(rows, clips, STEPS) == [(0, 1, 2.0), (2, 3, (2 + 4 + 10 + 30) / 4), (4, 5, 30.0)]


def test_steps_that_overlap_in_part_stay_apart_and_lie_in_order_of_their_middles() -> None:
    clips = [[0, 2, 4, 6], [1, 3, 5, 7]]
    assert merged([[1, 2], [3, 4]], clips, STEPS) == [(0, 2, 1.0), (1, 3, 3.0), (4, 6, 2.0), (5, 7, 4.0)]


def test_a_long_row_around_a_short_one_lies_by_its_middle() -> None:
    assert merged([[1, 2]], [[0, 1, 2, 9]], ((0, 3), (1, 2))) == [(1, 2, 2.0), (0, 9, 1.0)]


def test_a_clip_is_one_row_and_clips_of_the_same_frames_are_one_too() -> None:
    assert merged([[1], [3], [5]], [[0, 1], [4, 5], [0, 1]], ((0, 1),)) == [(0, 1, 3.0), (4, 5, 3.0)]


def test_a_row_of_a_wrapped_clip_goes_from_its_earliest_frame_to_its_latest() -> None:
    assert merged([[1, 2]], [[0, 2, 4, 1]], STEPS) == [(0, 2, 1.0), (1, 4, 2.0)]
    assert merged([[1]], [[3, 4, 0, 1]], ((0, 3),)) == [(0, 4, 1.0)]


@given(st.integers(1, 4), st.sampled_from([1, 3]), st.integers(1, 6), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_where_each_frame_occurs_once_the_mean_is_kept(
    temporal: int, spatial: int, frames: int, classes: int, seed: int
) -> None:
    logits = np.random.default_rng(seed).standard_normal((temporal * spatial, frames, classes))
    places = np.arange(temporal * frames).reshape(temporal, frames)
    spans = row_spans("per_frame", clip_frames=frames, steps=None)
    stretches, means = merged_rows(logits, places, range(temporal * frames), spans=spans)
    assert stretches.tolist() == [[place, place] for place in range(temporal * frames)]
    np.testing.assert_allclose(means.mean(axis=0), video_logits(logits), atol=1e-12)


@pytest.mark.parametrize("kind", ["per_frame", "per_clip"])
def test_no_view_is_lost(kind: str) -> None:
    """Each view's rows, weighed by how often their stretch occurs, add up to the same sum."""
    rng = np.random.default_rng(5)
    clips = rng.integers(0, 6, (4, 3))
    spans = row_spans("per_frame" if kind == "per_frame" else "per_clip", clip_frames=3, steps=None)
    rows = rng.standard_normal((12, len(spans), 2))
    stretches, means = merged_rows(rows, clips, range(6), spans=spans)
    first_last = [
        (int(clip[a : b + 1].min()), int(clip[a : b + 1].max())) for clip in clips for _ in range(3) for a, b in spans
    ]
    counts = [first_last.count((int(a), int(b))) for a, b in stretches]
    np.testing.assert_allclose((means * np.array(counts)[:, None]).sum(axis=0), rows.sum(axis=(0, 1)))
