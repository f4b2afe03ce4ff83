"""The variants of the family by name: a table of numbers.

A new variant is a new row. In `PUBLISHED` the first seven and `laps_l`, `laps_h`, `laps_e` are the paper's; rows
`laps_r333`, `laps_r222`, `laps_r111` are its ablation of one leap level only. `NANO` is the project's own: the six
kinds of attention in a network small enough to train on two CPU cores.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

from laps_export.families.family import PosterFigures, Variant
from laps_export.families.laps.attention import AttentionKind
from laps_export.families.laps.config import LapsConfig

_PYRAMID = ((1, 2, 3, 1), (2, 3, 1, 2))
_LONG_PYRAMID = ((1, 2, 3, 4), (5, 1, 2, 3))


def _one_level(level: int) -> LapsConfig:
    return LapsConfig(attention=AttentionKind.LAPS, levels=((level,) * 4, (level,) * 4))


# The table of the ablation, then that of all systems, which both round.
_BASE_COST = PosterFigures(gmacs=39.1, parameters_m=39.8)
_LEAP_COST = PosterFigures(gmacs=40.1, parameters_m=39.8)

_LAPS = LapsConfig(attention=AttentionKind.LAPS, levels=_PYRAMID)

PUBLISHED: MappingProxyType[str, Variant[LapsConfig]] = MappingProxyType(
    {
        "base2d": Variant(LapsConfig(attention=AttentionKind.BASE2D), 74.00, poster=_BASE_COST),
        "base3d": Variant(
            LapsConfig(attention=AttentionKind.BASE3D), 76.31, poster=PosterFigures(gmacs=46.5, parameters_m=39.8)
        ),
        "plain_shift": Variant(LapsConfig(attention=AttentionKind.PLAIN_SHIFT), 74.86, poster=_BASE_COST),
        "p_shift": Variant(LapsConfig(attention=AttentionKind.P_SHIFT), 75.19, poster=_BASE_COST),
        "la": Variant(replace(_LAPS, attention=AttentionKind.LA), 75.84, poster=_LEAP_COST),
        "laps": Variant(_LAPS, 76.04, poster=_LEAP_COST),
        "laps_r333": Variant(_one_level(3), 75.55),
        "laps_r222": Variant(_one_level(2), 75.82),
        "laps_r111": Variant(_one_level(1), 75.86),
        "laps_l": Variant(
            replace(_LAPS, frames=16, resolution=320, levels=((1, 2, 3, 4),) * 2),
            78.71,
            poster=PosterFigures(gmacs=173.0, parameters_m=40.0),
        ),
        "laps_h": Variant(
            replace(_LAPS, frames=32, resolution=320, levels=_LONG_PYRAMID),
            79.72,
            poster=PosterFigures(gmacs=346.0, parameters_m=40.0),
        ),
        "laps_e": Variant(
            replace(_LAPS, frames=32, resolution=360, levels=_LONG_PYRAMID),
            80.03,
            poster=PosterFigures(gmacs=434.0, parameters_m=40.2),
        ),
        "laps_tiny": Variant(replace(_LAPS, embed_dim=192, stem_channels=16, heads=3)),
    }
)

_NANO_PYRAMID = ((1, 2, 3, 1), (2, 3, 1))
_NANO = LapsConfig(
    attention=AttentionKind.LAPS,
    resolution=128,
    levels=_NANO_PYRAMID,
    embed_dim=96,
    stem_channels=12,
    heads=3,
    depths=(3, 4, 3),
)
_PAIRED = (AttentionKind.LA, AttentionKind.LAPS)

NANO: MappingProxyType[str, Variant[LapsConfig]] = MappingProxyType(
    {
        f"{kind}_nano": Variant(replace(_NANO, attention=kind, levels=_NANO_PYRAMID if kind in _PAIRED else ((), ())))
        for kind in AttentionKind
    }
)

VARIANTS: MappingProxyType[str, Variant[LapsConfig]] = MappingProxyType({**PUBLISHED, **NANO})
