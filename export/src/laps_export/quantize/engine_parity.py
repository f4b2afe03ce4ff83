"""What one engine answers with a quantised graph beside float32: the record that the manifest gets.

Pure functions of scores; who runs the graphs is not known here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from laps_export.quantize.parity_limits import (
    MAX_MEAN_SHIFT,
    MAX_P99_SHIFT,
    MIN_AGREEMENT,
    MIN_VIEWS,
    labels_needed,
)
from laps_export.repository.manifest import EngineName, EngineParity

Scores = NDArray[np.float64]


def compare(reference: Scores, scores: Scores, *, engine: EngineName, instruction_set: str) -> EngineParity:
    """Scores of the same views `[V, K]`, in float32 and of the quantised graph."""
    top = reference.argmax(axis=1)  # [V]
    views = np.arange(len(top))
    shifts = np.abs(scores[views, top] - reference[views, top])
    labels = len(np.unique(top))
    agreement = float((scores.argmax(axis=1) == top).mean())
    mean, p99 = float(shifts.mean()), float(np.quantile(shifts, 0.99))
    enough = len(top) >= MIN_VIEWS and labels >= labels_needed(reference.shape[1])
    near = agreement >= MIN_AGREEMENT and mean <= MAX_MEAN_SHIFT and p99 <= MAX_P99_SHIFT
    return EngineParity(
        engine=engine,
        instruction_set=instruction_set,
        views=len(top),
        labels=labels,
        agreement=agreement,
        mean_shift=mean,
        p99_shift=p99,
        holds=enough and near,
    )
