"""Tokens that begin as a picture's coarse waves, so that a shift between frames can be read off them.

A shift is told by products of what is there and what changed. With random filters no such product says anything
about direction (measured: none of the displacement's variance is explained), with the lowest cosines of each
patch they do (up to two fifths). So the first layers begin as a cosine transform: the stem as smooth pictures of
brightness and colour in pairs of both signs, which lets its ReLU pass everything; the first embedding as the
cosines of its 4 x 4 patch; the second as those of two patches side by side. In every head the coarsest waves stand
both where the temporal shift takes its channels and where it leaves them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from laps_export.attention import SHIFT_FOLDS
from laps_export.visformer import Laps

_BLUR = 1.3  # pixels, of the stem's pictures
_NOISE = 0.15  # of random filters in the mixture
_WAVES = 4  # cosines a side
_SPREAD = (1.0, 0.45, 0.22, 0.14)  # how strong the cosines of a patch are in photographs; norms make them equal


def initialise_tokens(model: Laps, generator: torch.Generator) -> None:
    """Overwrite the stem and the first two patch embeddings; widths too small for it keep what they have."""
    stem = next(module for module in model.stem if isinstance(module, nn.Conv2d)).weight
    first, second = model.patch_embed1.proj.weight, model.patch_embed2.proj.weight
    sources = min(len(_PICTURES), stem.shape[0] // 2, first.shape[0] // _WAVES**2)
    if sources < 1:
        return
    _mix(stem, _stem_filters(stem, sources), generator)
    _mix(first, _cell_waves(first, sources), generator)
    _mix(second, _patch_waves(second, sources, heads=model.config.heads), generator)


_PICTURES = ((1 / 3, 1 / 3, 1 / 3), (0.5, 0.0, -0.5), (-0.25, 0.5, -0.25))
"""Brightness, and two contrasts of colour."""


def wave_order() -> list[tuple[int, int]]:
    """Rows and columns of the cosines in the order in which a head's channels hold them, coarse first."""
    waves = [(u, v) for u in range(_WAVES) for v in range(_WAVES) if u + v]
    # Mean brightness last: it says least about motion.
    return [*sorted(waves, key=lambda wave: (sum(wave), wave)), (0, 0)]


def _stem_filters(weight: Tensor, sources: int) -> Tensor:
    """`[S, 3, 7, 7]`: channels 2i and 2i + 1 are plus and minus picture i; the rest stays as it is."""
    side = weight.shape[-1]
    place = torch.arange(side) - (side - 1) / 2
    bell = torch.exp(-(place**2) / (2 * _BLUR**2))
    blur = torch.outer(bell, bell) / bell.sum() ** 2
    filters = weight.clone()
    for source, colours in enumerate(_PICTURES[:sources]):
        picture = torch.tensor(colours)[:, None, None] * blur
        filters[2 * source], filters[2 * source + 1] = picture, -picture
    return filters


def _cell_waves(weight: Tensor, sources: int) -> Tensor:
    """`[E/2, S, 4, 4]`: sixteen cosines of each picture."""
    waves = _cosines(weight.shape[-1])[:_WAVES]  # [u, i]
    basis = torch.einsum("ui,vj->uvij", waves, waves).flatten(0, 1)  # [16, 4, 4]
    filters = weight.clone()
    for source in range(sources):
        rows = slice(source * _WAVES**2, (source + 1) * _WAVES**2)
        filters[rows] = 0
        filters[rows, 2 * source], filters[rows, 2 * source + 1] = basis, -basis
    return filters


def _patch_waves(weight: Tensor, sources: int, *, heads: int) -> Tensor:
    """`[E, E/2, 2, 2]`: in each head the coarsest cosines of a patch of 2 x 2 cells, one picture a head."""
    half = _WAVES
    whole, cell = _cosines(2 * half)[:_WAVES], _cosines(half)  # [u, 8], [p, 4]
    spread = torch.tensor(_SPREAD)
    joint = torch.stack([whole[:, :half] @ cell.T, whole[:, half:] @ cell.T], dim=1) * spread  # [u, a, p]
    order = wave_order()
    filters = weight.clone()
    head_dim = weight.shape[0] // heads
    fold = head_dim // SHIFT_FOLDS
    for head in range(heads):
        source = head % sources
        columns = slice(source * _WAVES**2, (source + 1) * _WAVES**2)
        for dim in range(head_dim):
            # Ahead, back, and what stays begin with the same waves.
            rank = dim % fold if dim < 2 * fold else dim - 2 * fold
            if rank >= len(order):
                continue
            u, v = order[rank]
            row = head * head_dim + dim
            filters[row] = 0
            filters[row, columns] = torch.einsum("ap,bq->pqab", joint[u], joint[v]).flatten(0, 1)
    return filters


def _mix(weight: Tensor, filters: Tensor, generator: torch.Generator) -> None:
    """Give a layer these filters at unit length, and a little noise."""
    length = filters.flatten(1).norm(dim=1).clamp_min(1e-6)
    noise = torch.randn(weight.shape, generator=generator) * weight[0].numel() ** -0.5 * _NOISE
    weight.copy_(filters / length[:, None, None, None] + noise)


def _cosines(side: int) -> Tensor:
    """`[side, side]` orthonormal: row u is the cosine of u half waves."""
    place = (torch.arange(side) + 0.5) / side
    waves = torch.cos(math.pi * torch.arange(side)[:, None] * place) * math.sqrt(2 / side)
    waves[0] *= math.sqrt(0.5)
    return waves


def wave_slopes() -> Tensor:
    """`[u, w]`: how much of wave w a patch's wave u gains when the picture moves on by a little, of order one."""
    waves = _cosines(2 * _WAVES)  # [u, 8]
    slope = torch.gradient(waves, dim=1)[0]
    spread = torch.tensor(_SPREAD)
    gains = (slope[:_WAVES] @ waves[:_WAVES].T) * spread[:, None] * spread
    return gains / gains.abs().max()
