"""What a clip's picture does, measured by dense optical flow: a judge that knows nothing of the camera model."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from laps_export.data.camera_motion import CameraMotion


@dataclass(frozen=True)
class PictureMotion:
    """Mean motion of the content from frame to frame: pixels right and down, growth and clockwise turn a frame."""

    right: float
    down: float
    growth: float
    clockwise: float


def measure(frames: NDArray[np.uint8]) -> PictureMotion:
    """Fit a similarity to the flow between neighbouring frames, `[T, N, N, 3]`."""
    grays = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    height, width = grays[0].shape
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    x, y = x - (width - 1) / 2, y - (height - 1) / 2
    edge = slice(height // 8, -(height // 8))
    x, y = x[edge, edge].ravel(), y[edge, edge].ravel()
    rows = []
    for one, other in pairwise(grays):
        flow = cv2.calcOpticalFlowFarneback(one, other, None, 0.5, 5, 21, 5, 7, 1.5, 0)  # type: ignore[call-overload]
        u, v = flow[edge, edge, 0].ravel(), flow[edge, edge, 1].ravel()
        # u = right + growth x - turn y,  v = down + growth y + turn x  (y down: a positive turn is clockwise)
        left = np.concatenate(
            [np.stack([np.ones_like(x), 0 * x, x, -y], 1), np.stack([0 * x, np.ones_like(x), y, x], 1)]
        )
        rows.append(np.linalg.lstsq(left, np.concatenate([u, v]), rcond=None)[0])
    return PictureMotion(*np.median(rows, axis=0).tolist())


def strongest(motion: PictureMotion, *, size: int) -> CameraMotion:
    """The camera motion that would move the picture so."""
    lever = size / 4  # mean distance from the centre, to compare turns with shifts
    candidates = {
        CameraMotion.PAN_RIGHT: -motion.right,
        CameraMotion.PAN_LEFT: motion.right,
        CameraMotion.TILT_UP: motion.down,
        CameraMotion.TILT_DOWN: -motion.down,
        CameraMotion.ZOOM_IN: motion.growth * lever,
        CameraMotion.ZOOM_OUT: -motion.growth * lever,
        CameraMotion.ROLL_CLOCKWISE: -motion.clockwise * lever,
        CameraMotion.ROLL_COUNTERCLOCKWISE: motion.clockwise * lever,
    }
    return max(candidates, key=lambda key: candidates[key])
