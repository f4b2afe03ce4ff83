"""What families of models do differently between a decoded frame and their input; a manifest names each choice.

laps_server/video/preprocess.py has the arithmetic.
"""

from __future__ import annotations

from typing import Literal

# How the long side is rounded when the short one is resized.
LongSide = Literal["floor", "round"]
# Which of three crops is the first view, the second and the third.
CropOrder = Literal["along", "centre_first", "ends_first"]
# How half a pixel beside a centred crop is rounded.
CropOffset = Literal["up", "down"]
# Whether the filter widens where a picture shrinks.
Interpolation = Literal["bilinear", "bilinear_antialiased"]
