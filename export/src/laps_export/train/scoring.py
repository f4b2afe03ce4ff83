"""How good frame logits are: accuracy by class and by speed, confusion, calibration. Pure functions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CALIBRATION_BINS = 15
_Z = 1.959964  # of a 95 % interval


@dataclass(frozen=True)
class Scores:
    """What a model reached on a set of N clips of K classes.

    Attributes:
        top1: share of clips whose mean logits are highest at their label.
        interval: Wilson's 95 % interval of it.
        frame_top1: share of frames with a label that are right.
        per_class: `[K]` top-1 of each class, NaN where the set has none.
        slowest: top-1 of the slowest quarter of each moving class.
        confusion: `[K, K]` counts, rows are truth.
        ece: expected calibration error of the clip's probabilities.
        nll: mean negative log likelihood of the clip's label.
    """

    top1: float
    interval: tuple[float, float]
    frame_top1: float
    per_class: Floats
    slowest: float
    confusion: Ints
    ece: float
    nll: float

    def to_json(self) -> dict[str, Any]:
        """Rounded, JSON-able."""
        return {
            "top1": round(self.top1, 4),
            "interval": [round(value, 4) for value in self.interval],
            "frame_top1": round(self.frame_top1, 4),
            "per_class": [None if math.isnan(value) else round(float(value), 4) for value in self.per_class],
            "slowest_quarter_top1": None if math.isnan(self.slowest) else round(self.slowest, 4),
            "confusion": self.confusion.tolist(),
            "ece": round(self.ece, 4),
            "nll": round(self.nll, 4),
        }


def score(
    logits: NDArray[np.floating], *, labels: Ints, frame_labels: Ints, travel: Floats, temperature: float = 1.0
) -> Scores:
    """Compare frame logits with the truth.

    Args:
        logits: `[N, T, K]`.
        labels: `[N]` of the clips.
        frame_labels: `[N, T]`, negative where a frame does not count.
        travel: `[N]` how far each clip's camera moved; compared within a class only.
        temperature: divides the logits before the softmax.
    """
    classes = logits.shape[-1]
    clip_logits = logits.astype(np.float64).mean(axis=1)  # [N, K]
    answers = clip_logits.argmax(axis=1)
    right = answers == labels
    confusion = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(confusion, (labels, answers), 1)
    counted = frame_labels >= 0
    frame_right = (logits.argmax(axis=-1) == frame_labels)[counted]
    probabilities = softmax(clip_logits / temperature)
    with np.errstate(invalid="ignore"):
        per_class = np.diag(confusion) / confusion.sum(axis=1)
    chosen = np.maximum(probabilities[np.arange(len(labels)), labels], 1e-12)
    return Scores(
        top1=float(right.mean()),
        interval=wilson(int(right.sum()), len(right)),
        frame_top1=float(frame_right.mean()) if len(frame_right) else math.nan,
        per_class=per_class,
        slowest=_slowest(right, labels, travel),
        confusion=confusion,
        ece=calibration_error(probabilities, labels),
        nll=float(-np.log(chosen).mean()),
    )


def softmax(logits: Floats) -> Floats:
    """Over the last axis."""
    raised = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True))


def wilson(right: int, count: int) -> tuple[float, float]:
    """95 % interval of a share of `right` out of `count`."""
    if count == 0:
        return 0.0, 1.0
    share, square = right / count, _Z**2
    middle = (share + square / (2 * count)) / (1 + square / count)
    half = _Z / (1 + square / count) * math.sqrt(share * (1 - share) / count + square / (4 * count**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def calibration_error(probabilities: Floats, labels: Ints, *, bins: int = CALIBRATION_BINS) -> float:
    """Mean distance of confidence and accuracy over bins of confidence: `[N, K]`, `[N]` to a number."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [
        abs(right[place == b].mean() - confidence[place == b].mean()) * (place == b).sum() for b in np.unique(place)
    ]
    return float(sum(gaps) / len(labels))


def fit_temperature(logits: NDArray[np.floating], labels: Ints) -> float:
    """The temperature at which clip probabilities have the least negative log likelihood; `[N, T, K]`, `[N]`."""
    clip_logits = logits.astype(np.float64).mean(axis=1)
    rows = np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        chosen = softmax(clip_logits / math.exp(log_temperature))[rows, labels]
        return float(-np.log(np.maximum(chosen, 1e-12)).mean())

    # Golden-section search: the loss has one minimum in the temperature.
    ratio = (math.sqrt(5) - 1) / 2
    low, high = math.log(0.1), math.log(10)
    while high - low > 1e-4:
        first, second = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, second) if loss(first) < loss(second) else (first, high)
    return math.exp((low + high) / 2)


def _slowest(right: NDArray[np.bool_], labels: Ints, travel: Floats) -> float:
    chosen = []
    for label in np.unique(labels):
        members = np.flatnonzero((labels == label) & (travel > 0))
        slow = members[np.argsort(travel[members], kind="stable")][: (len(members) + 3) // 4]
        chosen.append(right[slow])
    together = np.concatenate(chosen) if chosen else np.zeros(0, dtype=bool)
    return float(together.mean()) if len(together) else math.nan
