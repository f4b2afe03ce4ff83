"""What the camera's motion does to the picture, as numbers: richer teachers than a label.

At every token of a coarse grid the displacement of the background between sampled frames, and for every frame the
camera's own speed. Both span orders of magnitude and are compressed, so that a slow pan counts as much as a whip.
A network is taught with them while it trains; it never sees them afterwards.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from laps_export.data.camera import Lens, frame_to_plane
from laps_export.data.motion import AXIS_NAMES, Path

Floats = NDArray[np.float64]

TOKEN_PIXELS = 16
"""Pixels of a grid cell's side: the tokens of a network's second stage."""

_KNEE = 0.004  # displacements below are told linearly, above logarithmically; shares of the short side
_SCALE = 1 / 3  # so that targets are of order one


def background_flow(path: Path, lens: Lens) -> NDArray[np.float32]:
    """Compressed displacement a step of what stands at each token: float32 `[T, G, G, 2]`, x then y.

    For frame t the mean of where a point goes in frame t + 1 and where it comes from in frame t - 1; at the clip's
    ends one of them.
    """
    side = lens.width // TOKEN_PIXELS
    centres = (np.arange(side) + 0.5) * lens.width / side - 0.5
    x, y = np.meshgrid(centres, centres)
    points = np.stack([x.ravel(), y.ravel(), np.ones(side * side)])  # [3, G*G]
    to_plane = frame_to_plane(path, lens)  # [T, 3, 3]
    from_plane = np.linalg.inv(to_plane)
    ahead = _moved(from_plane[1:] @ to_plane[:-1], points)  # [T-1, 2, G*G], frame t to t + 1
    back = _moved(from_plane[:-1] @ to_plane[1:], points)  # frame t + 1 to t
    flow = _both_ways(ahead, -back) / lens.short_side
    return compress(flow).reshape(-1, 2, side, side).transpose(0, 2, 3, 1)


def camera_speed(path: Path) -> NDArray[np.float32]:
    """Compressed change a step of yaw, pitch, zoom and roll: float32 `[T, 4]`."""
    places = np.stack([getattr(path, name) for name in AXIS_NAMES], axis=1)  # [T, 4]
    steps = np.diff(places, axis=0)
    return compress(_both_ways(steps, steps))


def compress(values: Floats) -> NDArray[np.float32]:
    """Linear near zero, logarithmic far from it, odd."""
    return (np.arcsinh(values / _KNEE) * _SCALE).astype(np.float32)


def _moved(homographies: Floats, points: Floats) -> Floats:
    """`[n, 3, 3]`, `[3, P]` to displacements `[n, 2, P]`."""
    mapped = homographies @ points
    displaced: Floats = mapped[:, :2] / mapped[:, 2:] - points[:2]
    return displaced


def _both_ways(ahead: Floats, behind: Floats) -> Floats:
    """`[T-1, ...]` steps to the next and from the last frame, as their mean at every frame: `[T, ...]`."""
    first, last = ahead[:1], behind[-1:]
    return np.concatenate([first, 0.5 * (ahead[1:] + behind[:-1]), last])
