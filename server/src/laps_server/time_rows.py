"""What each row of a model's output speaks for along the video, and rows of several views merged into one curve.

A model gives a row of logits for every frame of a clip, for every step of it, or for all of it::

    clip           0   1   2   3   4   5   6   7
    per_frame      ╵   ╵   ╵   ╵   ╵   ╵   ╵   ╵       8 rows, each from a frame to itself
    per_step       ├───────────┤                       3 rows, as the manifest's steps have it:
                           ├───────────┤               [0, 3], [2, 5], [4, 7]
                                   ├───────────┤
    per_clip       ├───────────────────────────┤       1 row

Pure functions on plain arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from laps_server.arrays import Float32Array, Float64Array, IntArray
from laps_server.sampled_frame import SampledFrame

OutputKind = Literal["per_frame", "per_step", "per_clip"]
RowKind = Literal["frame", "step", "clip"]

ROW_KINDS: dict[OutputKind, RowKind] = {"per_frame": "frame", "per_step": "step", "per_clip": "clip"}


@dataclass(frozen=True, slots=True)
class TimeRow:
    """The stretch of the video that one row speaks for: two frames of it, the same one twice for a single frame."""

    first: SampledFrame
    last: SampledFrame

    @property
    def index(self) -> int | None:
        """The number of the frame; None for a stretch, and where the container does not give it."""
        return self.first.index if self.first is self.last else None

    @property
    def time_s(self) -> float:
        """The middle."""
        return self.first.time_s if self.first is self.last else (self.first.time_s + self.last.time_s) / 2


@dataclass(frozen=True, slots=True)
class FrameScores:
    """Scores along the video's own time axis, in order of ``time_s``; ``scores`` is ``[R, len(labels)]``."""

    kind: RowKind
    rows: tuple[TimeRow, ...]
    labels: tuple[str, ...]
    scores: Float32Array

    def __post_init__(self) -> None:
        if self.scores.shape != (len(self.rows), len(self.labels)):
            raise ValueError(f"scores {self.scores.shape} for {len(self.rows)} rows, {len(self.labels)} labels")


def row_spans(
    kind: OutputKind, *, clip_frames: int, steps: Sequence[tuple[int, int]] | None
) -> tuple[tuple[int, int], ...]:
    """The first and the last place in a clip of ``clip_frames`` frames that each row of a view speaks for."""
    if kind == "per_frame":
        return tuple((place, place) for place in range(clip_frames))
    if kind == "per_step":
        return tuple((first, last) for first, last in steps or ())
    return ((0, clip_frames - 1),)


def merged_rows(
    view_rows: npt.NDArray[np.floating],
    clip_places: IntArray,
    times_s: Sequence[float],
    *,
    spans: Sequence[tuple[int, int]],
) -> tuple[IntArray, Float64Array]:
    """Average the rows of all views that speak for the same stretch of the video::

        clip 0    ├── a ──┤├── b ──┤
        clip 1             ├── c ──┤├── d ──┤
        merged    ├── a ──┤├ (b+c)/2┤├── d ──┤

    A frame is a stretch too, so a frame of several views gets the mean of its occurrences.

    Args:
        view_rows: ``[V, R, K]``, views temporal-major; V is a multiple of V_t, one view for each crop.
        clip_places: ``[V_t, T]``, which distinct frame stands at each place of each clip, in presentation order.
        times_s: of the distinct frames, ascending.
        spans: R pairs, as :func:`row_spans` gives them. Of a clip that wraps in a short video, a row speaks from its
            earliest frame to its latest.

    Returns:
        ``[N, 2]``, the first and the last distinct frame of each merged row, in order of their middles in time;
        ``[N, K]``, their means.
    """
    classes = view_rows.shape[-1]
    crops = len(view_rows) // len(clip_places)
    inside = [clip_places[:, first : last + 1] for first, last in spans]
    earliest = np.stack([places.min(axis=1) for places in inside], axis=1)  # [V_t, R]
    latest = np.stack([places.max(axis=1) for places in inside], axis=1)  # [V_t, R]
    pairs = np.stack([earliest, latest], axis=-1).reshape(-1, 2)  # [V_t * R, 2]
    stretches, which = np.unique(pairs, axis=0, return_inverse=True)  # [N, 2], [V_t * R]
    targets = np.repeat(which.reshape(earliest.shape), crops, axis=0).ravel()  # [V * R]
    sums = np.zeros((len(stretches), classes))
    np.add.at(sums, targets, view_rows.reshape(-1, classes))
    means = sums / np.bincount(targets, minlength=len(stretches))[:, None]  # [N, K]
    order = np.argsort(np.asarray(times_s)[stretches].sum(axis=1), kind="stable")
    return stretches[order], means[order]
