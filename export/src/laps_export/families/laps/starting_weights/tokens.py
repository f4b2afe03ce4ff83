"""Tokens that begin as a patch's coarse waves, in an order that the temporal shift can use.

With random filters nothing about a token says which way its patch moved, and training stays at chance for
thousands of steps; with the lowest cosines of each patch it can be read off products (see `products`). So the first
layers begin as a cosine transform: the stem as smooth pictures of brightness and colour in pairs of both signs,
which lets its ReLU pass everything; the first embedding as the cosines of its 4 x 4 patch; the second as those of
two such patches side by side. Stage 2's channels fall into three groups, and each group into these::

    ahead   back   waves that stay   across   down   zoom   roll   right   sink
      8      8           10             1       1      1      1      1       1

`ahead` and `back` hold the same waves, and the shift takes them from the next and the previous frame. `across` and
`down` hold the token's place. The last four begin silent; `products` writes into them how the picture moves.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from laps_export.errors import ConfigError
from laps_export.families.channel_shift import SHIFT_FOLDS
from laps_export.families.laps.attention import Attention
from laps_export.families.laps.visformer import Laps

Wave = tuple[int, int]
"""Half waves of a cosine down and across a patch."""

WAVES = 4
"""Cosines a side that are used."""

_BLUR = 1.3  # pixels, of the stem's pictures
_NOISE = 0.15  # of random filters in the mixture
_SPREAD = (1.0, 0.45, 0.22, 0.14)  # how strong the cosines of a patch are in photographs; norms make them equal
_PICTURES = ((1 / 3, 1 / 3, 1 / 3), (0.5, 0.0, -0.5), (-0.25, 0.5, -0.25))  # brightness, and two contrasts of colour


@dataclass(frozen=True)
class WaveGroup:
    """What one group of stage 2's channels begins with.

    Attributes:
        picture: which of the stem's pictures it looks at.
        changing: waves that the shift takes from the frames before and after.
        staying: waves that stay.
    """

    picture: int
    changing: tuple[Wave, ...]
    staying: tuple[Wave, ...]


_COARSE: tuple[Wave, ...] = ((0, 0), (0, 1), (1, 0), (0, 2), (2, 0), (1, 1), (1, 2), (2, 1))
_FINE: tuple[Wave, ...] = ((0, 2), (2, 0), (0, 3), (3, 0), (1, 2), (2, 1), (1, 3), (3, 1))
WAVE_GROUPS = (
    WaveGroup(0, _COARSE, (*_COARSE, (0, 3), (3, 0))),
    WaveGroup(0, _FINE, ((0, 1), (1, 0), (0, 2), (2, 0), (0, 3), (3, 0), (1, 1), (1, 2), (2, 1), (1, 3))),
    WaveGroup(1, _COARSE, (*_COARSE, (0, 3), (3, 0))),
)


@dataclass(frozen=True)
class GroupChannels:
    """Which of stage 2's channels one group has, see the module."""

    ahead: tuple[int, ...]
    back: tuple[int, ...]
    staying: tuple[int, ...]
    across: int
    down: int
    zoom: int
    roll: int
    right: int
    sink: int


def shifted_channels(attention: Attention) -> tuple[list[int], list[int], list[int]]:
    """Channels that this attention's shift takes from the next frame, from the previous one, and those that stay.

    Without a shift as if inside heads.
    """
    width = attention.heads * attention.head_dim
    groups = attention.shift_groups or attention.heads
    fold = width // groups // SHIFT_FOLDS
    place = torch.arange(width) % (width // groups)
    ahead, back = place < fold, (place >= fold) & (place < 2 * fold)
    return ahead.nonzero()[:, 0].tolist(), back.nonzero()[:, 0].tolist(), (~(ahead | back)).nonzero()[:, 0].tolist()


def group_channels(attention: Attention) -> tuple[GroupChannels, ...]:
    """The channels of every group, where this attention's shift puts them; without a shift as if inside heads.

    Raises:
        ConfigError: `invalid_embed_dim`, the width has no room for the groups.
    """
    ahead, back, stay = shifted_channels(attention)
    changing, staying = len(WAVE_GROUPS[0].changing), len(WAVE_GROUPS[0].staying)
    markers = 6  # across to sink
    if len(ahead) < changing * len(WAVE_GROUPS) or len(stay) < (staying + markers) * len(WAVE_GROUPS):
        raise ConfigError(
            f"{len(ahead) * 2 + len(stay)} channels have no room for the start that training needs",
            code="invalid_embed_dim",
            hint=f"embed_dim of at least {(staying + markers) * 2 * len(WAVE_GROUPS)}",
        )
    groups = []
    for group in range(len(WAVE_GROUPS)):
        moved = slice(group * changing, (group + 1) * changing)
        kept = stay[group * (staying + markers) : (group + 1) * (staying + markers)]
        groups.append(GroupChannels(tuple(ahead[moved]), tuple(back[moved]), tuple(kept[:staying]), *kept[staying:]))
    return tuple(groups)


def initialise_tokens(model: Laps, generator: torch.Generator) -> None:
    """Overwrite the stem, the first two patch embeddings and stage 2's positions.

    Raises:
        ConfigError: as `group_channels`.
    """
    stem = next(module for module in model.stem if isinstance(module, nn.Conv2d)).weight
    first, second = model.patch_embed1.proj.weight, model.patch_embed2.proj.weight
    pictures = min(len(_PICTURES), stem.shape[0] // 2, first.shape[0] // WAVES**2)
    groups = group_channels(first_attention(model.stage2))
    if pictures <= max(group.picture for group in WAVE_GROUPS):
        raise ConfigError(
            f"a stem of {stem.shape[0]} and a first stage of {first.shape[0]} channels cannot carry the waves",
            code="invalid_embed_dim",
            hint="a stem of 4 channels and a first stage of 32 at least",
        )
    _mix(stem, _stem_filters(stem, pictures), generator)
    _mix(first, _cell_waves(first, pictures), generator)
    _mix(second, _patch_waves(second, groups), generator)
    gain = model.patch_embed2.norm.bn.weight
    ramp = torch.linspace(-1.0, 1.0, model.pos_embed2.shape[-1])
    ramp = ramp / ramp.std()
    model.pos_embed2.zero_()
    for group in groups:
        # Channels that tell place or motion begin without a picture in them; their gain brings one in if it helps.
        gain[[group.across, group.down, group.zoom, group.roll, group.right, group.sink]] = 0.0
        model.pos_embed2[0, group.across] = ramp[None, :]
        model.pos_embed2[0, group.down] = ramp[:, None]


def cosines(side: int) -> Tensor:
    """`[side, side]` orthonormal: row u is the cosine of u half waves."""
    place = (torch.arange(side) + 0.5) / side
    waves = torch.cos(math.pi * torch.arange(side)[:, None] * place) * math.sqrt(2 / side)
    waves[0] *= math.sqrt(0.5)
    return waves


def first_attention(stage: nn.Sequential) -> Attention:
    """Of a stage's first block."""
    return next(module for module in stage.modules() if isinstance(module, Attention))


def _stem_filters(weight: Tensor, pictures: int) -> Tensor:
    """`[S, 3, 7, 7]`: channels 2i and 2i + 1 are plus and minus picture i; the rest stays as it is."""
    side = weight.shape[-1]
    place = torch.arange(side) - (side - 1) / 2
    bell = torch.exp(-(place**2) / (2 * _BLUR**2))
    blur = torch.outer(bell, bell) / bell.sum() ** 2
    filters = weight.clone()
    for number, colours in enumerate(_PICTURES[:pictures]):
        picture = torch.tensor(colours)[:, None, None] * blur
        filters[2 * number], filters[2 * number + 1] = picture, -picture
    return filters


def _cell_waves(weight: Tensor, pictures: int) -> Tensor:
    """`[E/2, S, 4, 4]`: sixteen cosines of each picture."""
    waves = cosines(weight.shape[-1])[:WAVES]  # [u, i]
    basis = torch.einsum("ui,vj->uvij", waves, waves).flatten(0, 1)  # [16, 4, 4]
    filters = weight.clone()
    for number in range(pictures):
        rows = slice(number * WAVES**2, (number + 1) * WAVES**2)
        filters[rows] = 0
        filters[rows, 2 * number], filters[rows, 2 * number + 1] = basis, -basis
    return filters


def _patch_waves(weight: Tensor, groups: tuple[GroupChannels, ...]) -> Tensor:
    """`[E, E/2, 2, 2]`: every channel that holds a wave as that wave of a patch of 2 x 2 cells."""
    whole, cell = cosines(2 * WAVES)[:WAVES], cosines(WAVES)  # [u, 8], [p, 4]
    halves = torch.stack([whole[:, :WAVES] @ cell.T, whole[:, WAVES:] @ cell.T], dim=1)  # [u, a, p]
    joint = halves * torch.tensor(_SPREAD)
    filters = weight.clone()
    for group, channels in zip(WAVE_GROUPS, groups, strict=True):
        columns = slice(group.picture * WAVES**2, (group.picture + 1) * WAVES**2)
        rows = (
            *zip(channels.ahead, group.changing, strict=True),
            *zip(channels.back, group.changing, strict=True),
            *zip(channels.staying, group.staying, strict=True),
        )
        for row, (u, v) in rows:
            filters[row] = 0
            filters[row, columns] = torch.einsum("ap,bq->pqab", joint[u], joint[v]).flatten(0, 1)
    return filters


def _mix(weight: Tensor, filters: Tensor, generator: torch.Generator) -> None:
    """Give a layer these filters at unit length, and a little noise."""
    length = filters.flatten(1).norm(dim=1).clamp_min(1e-6)
    noise = torch.randn(weight.shape, generator=generator) * weight[0].numel() ** -0.5 * _NOISE
    weight.copy_(filters / length[:, None, None, None] + noise)
