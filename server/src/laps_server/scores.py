"""From logits of views to ranked labels and per-frame scores: pure functions on plain arrays.

Everything is averaged as logits and turned into probabilities last, as in the LAPS evaluation: clip logits are
the mean over a clip's frames, video logits the mean over views.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from laps_server.arrays import Float32Array, Float64Array, IntArray
from laps_server.sampled_frame import SampledFrame

Activation = Literal["softmax", "sigmoid"]


@dataclass(frozen=True, slots=True)
class ScoredLabel:
    """One label of a ranking: its index in the model's label list and its probability."""

    label: str
    index: int
    score: float


@dataclass(frozen=True, slots=True)
class FrameScores:
    """Per-frame scores on the video's own time axis; ``scores`` is ``[F, len(labels)]``."""

    frames: tuple[SampledFrame, ...]
    labels: tuple[str, ...]
    scores: Float32Array

    def __post_init__(self) -> None:
        if self.scores.shape != (len(self.frames), len(self.labels)):
            raise ValueError(f"scores {self.scores.shape} for {len(self.frames)} frames, {len(self.labels)} labels")


def clip_logits(view_logits: npt.NDArray[np.floating]) -> Float64Array:
    """Logits of views ``[V, T, K]`` (per frame) or ``[V, K]`` (per clip) -> one row a view ``[V, K]``."""
    logits = view_logits.astype(np.float64)
    return logits.mean(axis=1) if logits.ndim == 3 else logits  # [V, K]


def video_logits(view_logits: npt.NDArray[np.floating]) -> Float64Array:
    """Logits of the views seen so far, ``[V, T, K]`` or ``[V, K]`` -> their mean ``[K]``."""
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


def rank(scores: Float64Array, labels: Sequence[str], top_k: int) -> tuple[ScoredLabel, ...]:
    """The ``top_k`` best of scores ``[K]``, best first; ties keep the label list's order."""
    order = np.argsort(-scores, kind="stable")[:top_k]
    return tuple(ScoredLabel(labels[i], int(i), float(scores[i])) for i in order)


def frame_logits(
    view_logits: npt.NDArray[np.floating], clip_frames: IntArray, *, spatial_views: int, frame_count: int
) -> Float64Array:
    """Average each frame's logits over all its occurrences in all views.

    Args:
        view_logits: ``[V, T, K]``, views temporal-major.
        clip_frames: ``[V_t, T]``, which distinct frame stands at each place of each temporal view.
        spatial_views: crops a clip, V / V_t.
        frame_count: F, the number of distinct frames; each occurs at least once.

    Returns:
        ``[F, K]``.
    """
    classes = view_logits.shape[-1]
    places = np.repeat(clip_frames, spatial_views, axis=0).ravel()  # [V*T]
    sums = np.zeros((frame_count, classes))
    np.add.at(sums, places, view_logits.reshape(-1, classes))
    counts = np.bincount(places, minlength=frame_count)
    return sums / counts[:, None]  # [F, K]
