"""A path of the camera to homographies: rotation about its own centre, and focal length.

Coordinates: x right, y down, z forward. The world is a plane at z = 1 that carries the photograph. A pixel u of
the frame looks along K^-1 u, rotated by R into the world; where that ray meets the plane is the point it shows::

    frame pixel --K^-1--> ray --R--> world ray --z = 1--> plane --S--> photograph pixel

Turning right (yaw) moves what is seen to the left, and so on: conventions follow from the geometry alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from laps_export.data.arrays import Floats
from laps_export.data.motion_script import CameraPath

WIDEST_TURN_RAD = 0.6
"""Half of the turn that a path may take; a plane seen under a flatter angle would be a smear."""


@dataclass(frozen=True)
class Lens:
    """The frame that is rendered, as part of what the camera sees.

    Attributes:
        width: of the rendered frame in pixels.
        height: likewise.
        short_side: of the video's frame, in the same pixels; the unit of a path's yaw and pitch.
        focal: in short sides at zoom 1.
        centre_x: where the optical axis meets the rendered frame, in pixels; outside of it for a side crop.
        centre_y: likewise.
        stretch: width of a pixel over its height; not 1 where an anamorphic video is shown as stored.
    """

    width: int
    height: int
    short_side: float
    focal: float
    centre_x: float
    centre_y: float
    stretch: float = 1.0

    def scaled(self, factor: float, *, width: int, height: int) -> Lens:
        """The same view with `factor` times as many pixels, in a frame of another size about the same centre."""
        return Lens(
            width=width,
            height=height,
            short_side=self.short_side * factor,
            focal=self.focal,
            centre_x=width / 2,
            centre_y=height / 2,
            stretch=self.stretch,
        )


def focal_for(path: CameraPath, focal: float) -> float:
    """At least `focal`, and long enough that the path's turns stay within `WIDEST_TURN_RAD`."""
    farthest = max(float(np.abs(path.yaw).max()), float(np.abs(path.pitch).max()))
    return max(focal, farthest / WIDEST_TURN_RAD)


def rays_to_plane(path: CameraPath, focal: float) -> Floats:
    """`[n, 3, 3]` world rays for camera rays of a camera with unit focal length, zoom included.

    Yaw and pitch in short sides become angles through the focal length.
    """
    yaw, pitch = path.yaw / focal, path.pitch / focal
    zero, one = np.zeros_like(yaw), np.ones_like(yaw)
    cos, sin = np.cos(yaw), np.sin(yaw)
    turn = _matrices([[cos, zero, sin], [zero, one, zero], [-sin, zero, cos]])
    cos, sin = np.cos(pitch), np.sin(pitch)
    lift = _matrices([[one, zero, zero], [zero, cos, -sin], [zero, sin, cos]])
    cos, sin = np.cos(path.roll), np.sin(path.roll)
    twist = _matrices([[cos, -sin, zero], [sin, cos, zero], [zero, zero, one]])
    shrink = np.exp(-path.zoom)
    scale = _matrices([[shrink, zero, zero], [zero, shrink, zero], [zero, zero, one]])
    rays: Floats = turn @ lift @ twist @ scale
    return rays


def pixels_to_rays(lens: Lens) -> Floats:
    """`[3, 3]` from pixels of the rendered frame to camera rays at zoom 1."""
    pixels = lens.focal * lens.short_side
    return np.array(
        [
            [1 / (pixels * lens.stretch), 0, (0.5 - lens.centre_x) / (pixels * lens.stretch)],
            [0, 1 / pixels, (0.5 - lens.centre_y) / pixels],
            [0, 0, 1],
        ]
    )


def frame_to_plane(path: CameraPath, lens: Lens) -> Floats:
    """`[n, 3, 3]` homographies from rendered pixels to points of the world's plane."""
    product: Floats = rays_to_plane(path, lens.focal) @ pixels_to_rays(lens)
    return product


def _matrices(rows: list[list[Floats]]) -> Floats:
    """`[n, 3, 3]` from nine arrays `[n]`."""
    return np.moveaxis(np.array(rows, dtype=np.float64), 2, 0)
