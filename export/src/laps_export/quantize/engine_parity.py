"""What one engine answers with a quantised graph beside float32: the record that the manifest gets.

Pure functions of scores; who runs the graphs is not known here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from laps_export.quantize.parity_limits import (
    MAX_MEAN_SHIFT,
    MAX_P99_SHIFT,
    MIN_AGREEMENT,
    MIN_VIEWS,
    labels_needed,
)

EngineName = Literal["ort", "openvino"]
Scores = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class EngineParity:
    """One engine on one instruction set; docs/manifest.md has the meaning of each figure."""

    engine: EngineName
    instruction_set: str
    views: int
    labels: int
    agreement: float
    mean_shift: float
    p99_shift: float
    holds: bool


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
