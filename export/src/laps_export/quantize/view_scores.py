"""Logits of views to scores, as a server makes them of one view: what parity is held in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from laps_export.quantize.engine_parity import Scores


@dataclass(frozen=True)
class ViewScoring:
    """How logits become scores.

    Attributes:
        activation: softmax or sigmoid.
        temperature: logits are divided by it before.
    """

    activation: str
    temperature: float

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> ViewScoring:
        """What a manifest says."""
        return cls(manifest["activation"], manifest["temperature"])

    def scores(self, logits: NDArray[np.floating]) -> Scores:
        """Logits `[V, S, K]`, whose mean over S is the view's, or `[V, K]`, to scores `[V, K]`."""
        rows = logits.astype(np.float64)
        rows = (rows.mean(axis=1) if rows.ndim == 3 else rows) / self.temperature  # [V, K]
        if self.activation == "sigmoid":
            return 0.5 * (1 + np.tanh(rows / 2))
        powers = np.exp(rows - rows.max(axis=1, keepdims=True))
        scores: Scores = powers / powers.sum(axis=1, keepdims=True)
        return scores
