"""Windows of a stage: which tokens attend to each other, and how far apart they are.

A window is a box of tokens. Odd blocks shift the windows by half their size: the tokens are rolled, so that a window
at the edge holds tokens from both ends of the clip, and those of different regions must not see each other.

    tokens along one axis    0 1 2 3 4 5 6 7     window 4, shift 2
    rolled                   2 3 4 5|6 7 0 1
    regions                  a a a a|b b c c     b and c are in one window, and do not attend to each other

A dimension with no more tokens than the window has shrinks the window to it, and is not shifted.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from laps_export.families.video_swin.config import WINDOW, Size


@dataclass(frozen=True)
class Windows:
    """How windows lie in the tokens of one stage.

    Attributes:
        grid: tokens of the stage.
        size: of a window.
        shift: of odd blocks.
    """

    grid: Size
    size: Size
    shift: Size

    @classmethod
    def of(cls, grid: Size) -> Windows:
        """As the authors' rule has them."""
        size = tuple(min(count, window) for count, window in zip(grid, WINDOW, strict=True))
        shift = tuple(0 if count <= window else window // 2 for count, window in zip(grid, WINDOW, strict=True))
        return cls(grid, _size(size), _size(shift))

    @property
    def tokens(self) -> int:
        """N, tokens of a window."""
        depth, height, width = self.size
        return depth * height * width

    def cut(self, x: Tensor) -> Tensor:
        """`[B, D, H, W, C]` to `[B*windows, N, C]`."""
        channels = x.shape[-1]
        (depth, height, width), (d, h, w) = self.size, self._counts
        boxes = x.reshape(-1, d, depth, h, height, w, width, channels).permute(0, 1, 3, 5, 2, 4, 6, 7)
        return boxes.reshape(-1, self.tokens, channels)

    def join(self, x: Tensor) -> Tensor:
        """Undo `cut`."""
        channels = x.shape[-1]
        (depth, height, width), (d, h, w) = self.size, self._counts
        boxes = x.reshape(-1, d, h, w, depth, height, width, channels).permute(0, 1, 4, 2, 5, 3, 6, 7)
        return boxes.reshape(-1, *self.grid, channels)

    def regions(self) -> Tensor:
        """`[windows, N]` int64: the region of the rolled clip that each token belongs to."""
        code = torch.zeros(self.grid, dtype=torch.int64)
        for axis, (count, window, shift) in enumerate(zip(self.grid, self.size, self.shift, strict=True)):
            place = torch.arange(count)
            # The last window's tokens are its own, up to the shift; then those that were rolled around.
            region = (place >= count - window).long() + (place >= count - shift).long()
            shape = [1, 1, 1]
            shape[axis] = count
            code = code * 3 + region.reshape(shape)
        return self.cut(code[None, ..., None])[..., 0]

    @property
    def _counts(self) -> Size:
        return _size(tuple(count // window for count, window in zip(self.grid, self.size, strict=True)))


def relative_positions() -> Tensor:
    """`[N, N]` int64: for each pair of tokens of a whole window the row of the bias table.

    Rows count differences along time, height and width, in that order of significance.
    """
    places = torch.stack(torch.meshgrid(*(torch.arange(size) for size in WINDOW), indexing="ij")).flatten(1)  # [3, N]
    apart = places[:, :, None] - places[:, None, :]  # [3, N, N]
    index = torch.zeros_like(apart[0])
    for axis, size in enumerate(WINDOW):
        index = index * (2 * size - 1) + apart[axis] + size - 1
    return index


def bias_rows() -> int:
    """Rows of a bias table."""
    depth, height, width = WINDOW
    return (2 * depth - 1) * (2 * height - 1) * (2 * width - 1)


def _size(values: tuple[int, ...]) -> Size:
    depth, height, width = values
    return depth, height, width
