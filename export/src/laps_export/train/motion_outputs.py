"""The labels of camera motion as a network's starting weights need them: which output tells which movement.

Labels name the camera's motion: as it pans left or tilts up, the picture moves right or down.
"""

from __future__ import annotations

from laps_export.data.camera_motion import CameraMotion
from laps_export.families.family import MotionOutputs

MOTION_OUTPUTS = MotionOutputs(
    across=(CameraMotion.PAN_LEFT, CameraMotion.PAN_RIGHT),
    down=(CameraMotion.TILT_UP, CameraMotion.TILT_DOWN),
    growth=(CameraMotion.ZOOM_IN, CameraMotion.ZOOM_OUT),
    turn=(CameraMotion.ROLL_COUNTERCLOCKWISE, CameraMotion.ROLL_CLOCKWISE),
    count=len(CameraMotion),
)
