"""Mirrors, a transposition and the arrow of time: each turns a clip into another true clip.

A mirrored pan left is a pan right; a zoom in played backwards is a zoom out. Shaking stays shaking. One rendered
clip so serves as sixteen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from laps_export.data.arrays import Pixels
from laps_export.data.camera_motion import CameraMotion as M

_SWAPS = {
    "mirror": ((M.PAN_LEFT, M.PAN_RIGHT), (M.ROLL_CLOCKWISE, M.ROLL_COUNTERCLOCKWISE)),
    "upturn": ((M.TILT_UP, M.TILT_DOWN), (M.ROLL_CLOCKWISE, M.ROLL_COUNTERCLOCKWISE)),
    # Rows become columns: what moved right now moves down.
    "transpose": (
        (M.PAN_RIGHT, M.TILT_DOWN),
        (M.PAN_LEFT, M.TILT_UP),
        (M.ROLL_CLOCKWISE, M.ROLL_COUNTERCLOCKWISE),
    ),
    "reverse": (
        (M.PAN_LEFT, M.PAN_RIGHT),
        (M.TILT_UP, M.TILT_DOWN),
        (M.ZOOM_IN, M.ZOOM_OUT),
        (M.ROLL_CLOCKWISE, M.ROLL_COUNTERCLOCKWISE),
    ),
}


@dataclass(frozen=True)
class Symmetry:
    """Which of the four are applied, in this order."""

    mirror: bool = False
    upturn: bool = False
    transpose: bool = False
    reverse: bool = False

    @property
    def relabel(self) -> NDArray[np.int64]:
        """`[K]` the label that each label becomes."""
        table = np.arange(len(M), dtype=np.int64)
        for name, swaps in _SWAPS.items():
            if getattr(self, name):
                step = np.arange(len(M), dtype=np.int64)
                for one, other in swaps:
                    step[one], step[other] = other, one
                table = step[table]
        return table

    def frames(self, frames: Pixels) -> Pixels:
        """uint8 `[T, N, N, 3]`, a view or a copy of the same shape."""
        if self.mirror:
            frames = frames[:, :, ::-1]
        if self.upturn:
            frames = frames[:, ::-1]
        if self.transpose:
            frames = frames.transpose(0, 2, 1, 3)
        return frames[::-1] if self.reverse else frames

    def labels(self, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """`[T]` frame labels, ignored ones kept."""
        table = self.relabel
        turned = np.where(labels >= 0, table[np.maximum(labels, 0)], labels)
        return turned[::-1] if self.reverse else turned


def draw_symmetry(rng: np.random.Generator, *, transpose: bool = True) -> Symmetry:
    """Each of them with even odds; transposition less, since gravity and horizons are real."""
    mirror, upturn, reverse = (bool(value) for value in rng.random(3) < (0.5, 0.25, 0.5))
    return Symmetry(mirror=mirror, upturn=upturn, transpose=transpose and bool(rng.random() < 0.25), reverse=reverse)
