"""Names for the arrays that clips are made of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""RGB of a picture `[H, W, 3]`, or of a run of frames `[n, H, W, 3]`."""

Floats = NDArray[np.float64]
"""Geometry and time."""

Floats32 = NDArray[np.float32]
"""Values of pixels on their way to 8 bits."""
