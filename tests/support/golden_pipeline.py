"""``tests/data/pipeline.npz``, what the authors' code computed from file to logits, and how close we must be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

GRIDS = ("5x3", "10x3", "1x1")
MEAN_TOLERANCE = 0.01
FRAME_TOLERANCE = 0.02
DECIDED_GAP = 0.02  # a smaller gap between two labels does not say which is first

Logits = npt.NDArray[np.floating]

_FILE = Path(__file__).parents[1] / "data" / "pipeline.npz"


def reference(video: str, grid: str, what: str) -> npt.NDArray[np.float32]:
    """``logits`` [400], ``view_logits`` [V, 400], or for 1x1 ``frame_logits`` [1, T, 400]."""
    with np.load(_FILE) as arrays:
        array: npt.NDArray[np.float32] = arrays[f"{video}/{grid}/{what}"]
    return array


def check_mean_logits(logits: Logits, expected: Logits) -> None:
    """Mean logits [K] within the tolerance, and the top 5 in order wherever the reference decides it."""
    assert np.abs(logits - expected).max() <= MEAN_TOLERANCE
    check_top5_order(logits, expected)


def check_top5_order(scores: Logits, expected_logits: Logits) -> None:
    """Each of the reference's best 5 beats every label that the reference puts more than the gap below it."""
    for label in np.argsort(-expected_logits)[:5]:
        below = expected_logits[label] - expected_logits > DECIDED_GAP
        assert (scores[label] > scores[below]).all()
