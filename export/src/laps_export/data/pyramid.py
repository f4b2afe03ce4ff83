"""A photograph in halving levels, so that a camera can look at it at the resolution of its video.

The server shrinks a video's frame without antialiasing, so a clip's pixels are points of the video's frame, not
averages. Rendering does the same: it takes points from the level whose resolution is the video's.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from laps_export.data.arrays import Pixels
from laps_export.data.photographs import Photograph
from laps_export.errors import DataError

LONG_SIDE = 2048
"""Photographs are shrunk to this: a view of half of one still has more pixels than a 720p video is high."""
_SMALLEST = 96


@dataclass(frozen=True)
class Pyramid:
    """One picture at full size, half, quarter, ...: uint8 `[h, w, 3]` RGB each."""

    levels: tuple[Pixels, ...]

    @property
    def height(self) -> int:
        """Of the first level, in pixels."""
        return int(self.levels[0].shape[0])

    @property
    def width(self) -> int:
        """Of the first level, in pixels."""
        return int(self.levels[0].shape[1])

    def level_for(self, density: float) -> int:
        """The level nearest to a density of full-size pixels for one wanted pixel."""
        return int(np.clip(round(np.log2(max(density, 1.0))), 0, len(self.levels) - 1))


def build_pyramid(picture: Pixels) -> Pyramid:
    """Halve until the short side is small."""
    levels = [picture]
    while min(levels[-1].shape[:2]) >= 2 * _SMALLEST:
        height, width = levels[-1].shape[:2]
        half = cv2.resize(levels[-1], (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        levels.append(np.asarray(half, dtype=np.uint8))
    return Pyramid(tuple(levels))


def load_pyramid(photo: Photograph, *, cache: Path | None = None) -> Pyramid:
    """Read, shrink and halve a photograph; `cache` keeps the shrunk picture for the next time.

    Raises:
        DataError: `unreadable_photograph`.
    """
    kept = cache / f"{photo.sha256[:32]}-{LONG_SIDE}.npy" if cache is not None else None
    if kept is not None and kept.exists():
        return build_pyramid(np.load(kept))
    picture = cv2.imread(str(photo.path), cv2.IMREAD_COLOR)
    if picture is None:
        raise DataError(f"{photo.path} cannot be read as a picture", code="unreadable_photograph")
    height, width = picture.shape[:2]
    scale = LONG_SIDE / max(height, width)
    if scale < 1:
        size = (round(width * scale), round(height * scale))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    rgb: Pixels = np.ascontiguousarray(picture[:, :, ::-1], dtype=np.uint8)
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        partial = kept.with_suffix(".partial.npy")
        np.save(partial, rgb)
        partial.rename(kept)
    return build_pyramid(rgb)
