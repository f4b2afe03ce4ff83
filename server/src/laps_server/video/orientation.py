"""How a decoded frame has to be mirrored and turned to be seen as it was meant.

Containers and bitstreams say it as a matrix that takes a point of the decoded frame, y downwards, to the display::

    (x, y) -> (a*x + c*y, b*x + d*y)        turned by 90 degrees clockwise: a, b, c, d = 0, 1, -1, 0

Of all matrices eight keep pixels on their grid: four turns, and the same behind a mirror.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from laps_server.arrays import UInt8Array

_TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
_FLIP_LEFT_RIGHT = 1


@dataclass(frozen=True, slots=True)
class Orientation:
    """First the mirror, left for right, then the turn of ``clockwise`` degrees: 0, 90, 180 or 270."""

    mirrored: bool
    clockwise: int

    @classmethod
    def of_matrix(cls, *, a: float, b: float, c: float, d: float) -> Orientation:
        """The nearest of the eight; as decoded where the matrix leaves nothing to be seen."""
        determinant = a * d - b * c
        if determinant == 0:
            return AS_DECODED
        mirrored = determinant < 0
        if mirrored:
            a, b = -a, -b
        # Each column by its own length, so that a matrix that stretches as well does not tilt the angle.
        angle = math.atan2(b / math.hypot(b, d), a / math.hypot(a, c))
        return cls(mirrored, nearest_turn(math.degrees(angle)))

    def upright(self, frame: UInt8Array) -> UInt8Array:
        """``[h, w, 3]`` as it is to be seen, height and width exchanged by a quarter turn."""
        if self.mirrored:
            frame = np.asarray(cv2.flip(frame, _FLIP_LEFT_RIGHT), dtype=np.uint8)
        if self.clockwise in _TURNS:
            frame = np.asarray(cv2.rotate(frame, _TURNS[self.clockwise]), dtype=np.uint8)
        return frame


AS_DECODED = Orientation(mirrored=False, clockwise=0)


def nearest_turn(degrees: float) -> int:
    """The quarter turn next to an angle: 0, 90, 180 or 270."""
    return round(degrees / 90) % 4 * 90
