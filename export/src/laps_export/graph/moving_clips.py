"""Real frames without a download: moving crops of photographs inside the scikit-image package."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from skimage import data

Frames = NDArray[np.uint8]

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")
"""Colour photographs that ship inside the wheel."""

_WINDOW_SHARE = 0.6  # side of the first crop, as a share of the photograph's short side


@cache
def photograph(name: str) -> Frames:
    """One of `PHOTOGRAPHS`: uint8 `[H, W, 3]`."""
    picture: Frames = getattr(data, name)()
    return picture


def moving_clip(name: str, *, frames: int, size: int, seed: int) -> Frames:
    """A crop that pans and zooms over a photograph: uint8 `[T, size, size, 3]`."""
    picture = photograph(name)
    height, width = picture.shape[:2]
    rng = np.random.default_rng(seed)
    sides = min(height, width) * _WINDOW_SHARE * np.linspace(1.0, rng.uniform(0.7, 1.3), frames)
    tops, lefts = (
        np.linspace(rng.uniform(0, room), rng.uniform(0, room), frames)
        for room in (height - sides.max(), width - sides.max())
    )
    grid = (np.arange(size) + 0.5) / size
    clip = [
        picture[np.ix_((top + grid * side).astype(int), (left + grid * side).astype(int))]
        for top, left, side in zip(tops, lefts, sides, strict=True)
    ]
    return np.stack(clip)
