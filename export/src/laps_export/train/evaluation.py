"""Clips that are kept, and how a model's logits on them score."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from laps_export.data.clips import Clip
from laps_export.families.family import VideoModel
from laps_export.families.normalise import Normalise
from laps_export.train.scoring import Scores, score

_BATCH = 32


@dataclass(frozen=True)
class EvaluationSet:
    """Clips that are scored again and again: uint8 `[N, T, H, W, 3]`, `[N]`, `[N, T]`, `[N]`."""

    frames: NDArray[np.uint8]
    labels: NDArray[np.int64]
    frame_labels: NDArray[np.int64]
    travel: NDArray[np.float64]

    @classmethod
    def of(cls, clips: Iterator[Clip]) -> EvaluationSet:
        """Stack clips."""
        kept = list(clips)
        return cls(
            frames=np.stack([clip.frames for clip in kept]),
            labels=np.array([int(clip.label) for clip in kept], dtype=np.int64),
            frame_labels=np.stack([clip.frame_labels for clip in kept]),
            travel=np.array([clip.travel for clip in kept]),
        )


def evaluate(model: VideoModel, evaluation: EvaluationSet, device: torch.device, *, temperature: float = 1.0) -> Scores:
    """Score a model on fixed clips."""
    return score(
        frame_logits(model, evaluation.frames, device),
        labels=evaluation.labels,
        frame_labels=evaluation.frame_labels,
        travel=evaluation.travel,
        temperature=temperature,
    )


def frame_logits(model: VideoModel, frames: NDArray[np.uint8], device: torch.device) -> NDArray[np.float32]:
    """uint8 `[N, T, H, W, 3]` to float32 `[N, T, K]`, in batches; the network's mode is restored.

    In float32, as the exported graph will compute.
    """
    network = model.network
    normalise = Normalise(model.family.pixels).to(device)
    training = network.training
    network.eval()
    parts = []
    with torch.inference_mode():
        for start in range(0, len(frames), _BATCH):
            clips = torch.from_numpy(frames[start : start + _BATCH]).to(device)
            parts.append(network(normalise(clips)).float().cpu().numpy())
    network.train(training)
    return np.concatenate(parts)
