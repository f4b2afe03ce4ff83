"""From logits of views to ranked labels, and how far to trust the first of them: pure functions on plain arrays.

A view's logits are the mean over the rows that its model gives, one for each frame or step. Over views either logits or
probabilities are averaged, as the model's manifest says::

    average logits           logits of views ─► mean ─► temperature ─► activation ─► scores
    average probabilities    logits of views ─► temperature ─► activation ─► mean ─► scores
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from laps_server.arrays import Float32Array, Float64Array, IntArray

Activation = Literal["softmax", "sigmoid"]
# What the mean over views is taken of.
Average = Literal["logits", "probabilities"]


@dataclass(frozen=True, slots=True)
class ScoredLabel:
    """One label of a ranking: its index in the model's label list and its probability."""

    label: str
    index: int
    score: float


@dataclass(frozen=True, slots=True)
class Scoring:
    """How logits become scores; :meth:`terms` are what is averaged, :meth:`scores` make scores of an average."""

    activation: Activation
    temperature: float
    average: Average = "logits"

    def terms(self, logits: npt.NDArray[np.floating]) -> Float64Array:
        """Logits ``[..., K]`` -> what may be averaged over views or over rows of several views, ``[..., K]``."""
        return logits.astype(np.float64) if self.average == "logits" else self.probabilities(logits)

    def scores(self, mean: Float64Array) -> Float64Array:
        """A mean of :meth:`terms`, ``[..., K]`` -> scores ``[..., K]``."""
        return self.probabilities(mean) if self.average == "logits" else mean

    def probabilities(self, logits: npt.NDArray[np.floating]) -> Float64Array:
        """Logits ``[..., K]`` -> probabilities ``[..., K]``, with nothing averaged."""
        return probabilities(logits, activation=self.activation, temperature=self.temperature)


def clip_logits(view_logits: npt.NDArray[np.floating]) -> Float64Array:
    """Logits of views ``[V, R, K]`` (R frames or steps) or ``[V, K]`` (per clip) -> one row a view ``[V, K]``."""
    logits = view_logits.astype(np.float64)
    return logits.mean(axis=1) if logits.ndim == 3 else logits  # [V, K]


def video_logits(view_logits: npt.NDArray[np.floating]) -> Float64Array:
    """Logits of the views seen so far, ``[V, R, K]`` or ``[V, K]`` -> their mean ``[K]``."""
    mean: Float64Array = clip_logits(view_logits).mean(axis=0)
    return mean  # [K]


def probabilities(logits: npt.NDArray[np.floating], *, activation: Activation, temperature: float) -> Float64Array:
    """Logits ``[..., K]`` divided by ``temperature``, then softmax over K, or sigmoid for each label alone."""
    scaled = logits.astype(np.float64) / temperature
    if activation == "sigmoid":
        logistic: Float64Array = 0.5 * (1 + np.tanh(scaled / 2))  # the logistic function, without overflow
        return logistic
    exponentials = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    result: Float64Array = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return result


def rank(
    scores: Float64Array, labels: Sequence[str], top_k: int, *, among: IntArray | None = None
) -> tuple[ScoredLabel, ...]:
    """The ``top_k`` best of scores ``[K]``, best first; ties keep the label list's order.

    ``among`` are the places of the labels that are ranked, ascending; all where it is None.
    """
    places = np.arange(len(scores)) if among is None else among
    order = places[np.argsort(-scores[places], kind="stable")[:top_k]]
    return tuple(ScoredLabel(labels[i], int(i), float(scores[i])) for i in order)


def votes(view_scores: Float64Array, *, among: IntArray | None = None) -> IntArray:
    """How many views have each label as their own best: scores of views ``[V, K]`` -> counts ``[K]``."""
    places = np.arange(view_scores.shape[-1]) if among is None else among
    best = places[view_scores[:, places].argmax(axis=1)]  # [V]
    return np.bincount(best, minlength=view_scores.shape[-1]).astype(np.intp)


def margin(scores: Float64Array, *, among: IntArray | None = None) -> float:
    """How far the best of scores ``[K]`` is before the second; the best itself where there is no second."""
    ranked = np.sort(scores if among is None else scores[among])[::-1]
    return float(ranked[0] - ranked[1]) if len(ranked) > 1 else float(ranked[0])


def unit_length(vector: Float64Array) -> Float32Array:
    """The vector ``[D]`` at length 1; nothing but zeros stays as it is."""
    length = float(np.linalg.norm(vector))
    scaled: Float32Array = (vector / length if length else vector).astype(np.float32)
    return scaled
