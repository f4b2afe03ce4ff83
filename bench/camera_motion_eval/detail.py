"""Where in a picture there is enough to see: a camera's motion over a clear sky has no true answer.

Nor has one along the stripes of a picture that is striped in one direction only (the aperture problem). Both are
judged by brightness alone; no model has a say.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_HEIGHT = 180
_CELLS = 4
_LEAST_CONTRAST = 7.0  # standard deviation of brightness in a cell
_LEAST_CELLS = 0.55
_LEAST_ROUNDNESS = 0.1  # photographs lie above 0.25, stripes at 0.03


@cache
def _brightness(path: str, aspect: float) -> NDArray[np.float32]:
    """The middle of the picture with this aspect, `[180, 180 * aspect]`."""
    with Image.open(path) as picture:
        gray = picture.convert("L")
        width, height = gray.size
        wide, tall = min(width, height * aspect), min(height, width / aspect)
        left, top = (width - wide) / 2, (height - tall) / 2
        size = (round(_HEIGHT * aspect), _HEIGHT)
        return np.asarray(gray.resize(size, box=(left, top, left + wide, top + tall)), dtype=np.float32)


def is_worth_filming(path: str, *, aspect: float, x: float, y: float, view: float) -> bool:
    """Whether most cells of a frame's square middle have contrast, and the whole has some in every direction.

    Args:
        path: the picture.
        aspect: of the frame and of the picture's part that is used.
        x: the frame's centre from the picture's, in heights of the picture.
        y: likewise.
        view: the frame's short side in heights of the picture.
    """
    gray = _brightness(path, round(aspect, 4))
    height, width = gray.shape
    half = view / 2 * height
    middle_x, middle_y = width / 2 + x * height, height / 2 + y * height
    top, left = max(0, round(middle_y - half)), max(0, round(middle_x - half))
    part = gray[top : round(middle_y + half), left : round(middle_x + half)]
    if min(part.shape) < _CELLS:
        return False
    rows = np.array_split(part, _CELLS, axis=0)
    spreads = [float(cell.std()) for row in rows for cell in np.array_split(row, _CELLS, axis=1)]
    enough = float(np.mean(np.array(spreads) > _LEAST_CONTRAST)) >= _LEAST_CELLS
    return enough and roundness(part) >= _LEAST_ROUNDNESS


def roundness(part: NDArray[np.float32]) -> float:
    """Slope (rms) in the direction that changes least over slope in the one that changes most; 0 for stripes."""
    down, across = np.gradient(part)
    mixed = float(np.mean(across * down))
    tensor = np.array([[float(np.mean(across * across)), mixed], [mixed, float(np.mean(down * down))]])
    least, most = np.linalg.eigvalsh(tensor)
    return float(np.sqrt(max(least, 0.0) / most)) if most > 0 else 0.0
