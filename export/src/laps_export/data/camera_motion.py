"""What the camera can do: ten labels, spelled and ordered as the model's outputs.

Labels name the camera's motion, not the picture's: pan right moves the content left, tilt up moves it down,
zoom in makes it grow, roll clockwise turns it counterclockwise.
"""

from __future__ import annotations

from enum import IntEnum

LABEL_SET = "camera-motion"
"""Name of the shipped label set; its file and `CameraMotion` say the same."""

IGNORED = -100
"""Frame label where two motions meet and no answer would be fair; torch's losses skip this value."""


class CameraMotion(IntEnum):
    """The value is the model's output index."""

    STATIC = 0
    PAN_LEFT = 1
    PAN_RIGHT = 2
    TILT_UP = 3
    TILT_DOWN = 4
    ZOOM_IN = 5
    ZOOM_OUT = 6
    ROLL_CLOCKWISE = 7
    ROLL_COUNTERCLOCKWISE = 8
    HANDHELD_SHAKE = 9

    @property
    def text(self) -> str:
        """The label as users read it."""
        if self is CameraMotion.HANDHELD_SHAKE:
            return "handheld shake"
        return self.name.lower().replace("_", " ")


LABELS = tuple(motion.text for motion in CameraMotion)
