"""The server's way from a video's frame to a square, written again: training must see what the server will show.

The packages never import each other; tests/contract/test_resize.py holds the two to the same pixels.
"""

from __future__ import annotations

import cv2
import numpy as np

from laps_export.data.arrays import Pixels


def resized_size(height: int, width: int, short_side: int) -> tuple[int, int]:
    """Height and width after the short side became `short_side`: the long side is floor(long / short * short_side).

    The quotient comes first: 220 / 110 * 112 is 224, while 220 * (112 / 110) ends just below it.
    """
    if width <= height:
        return int(height / width * short_side), short_side
    return short_side, int(width / height * short_side)


def resize_and_crop(frame: Pixels, size: int, side: int) -> Pixels:
    """Bilinear without antialiasing, then a square `[size, size, 3]`.

    Args:
        frame: `[h, w, 3]`.
        size: of the square.
        side: 0 for the centre, -1 and 1 for the ends of the longer side.
    """
    height, width = frame.shape[:2]
    if min(height, width) != size:
        height, width = resized_size(height, width, size)
        frame = np.asarray(cv2.resize(frame, (width, height), interpolation=cv2.INTER_LINEAR_EXACT), dtype=np.uint8)
    x, y = ((length - size + 1) // 2 if side == 0 else (0 if side < 0 else length - size) for length in (width, height))
    return frame[y : y + size, x : x + size]
