"""The variants of the family by name: depth, length of a clip, and non-local blocks differ."""

from __future__ import annotations

from types import MappingProxyType

from laps_export.families.family import PosterFigures, Variant
from laps_export.families.slowfast.config import SlowFastConfig

_R101 = (3, 4, 23, 3)

VARIANTS: MappingProxyType[str, Variant[SlowFastConfig]] = MappingProxyType(
    {
        "slowfast_8x8_r50": Variant(SlowFastConfig(), 77.0, max_batch=8, poster=PosterFigures(gmacs=65.7)),
        # No row of the poster, but a published file, with the top-1 of those who published it (pytorchvideo).
        "slowfast_16x8_r101": Variant(SlowFastConfig(frames=64, blocks=_R101, fusion_kernel=5), 78.7, max_batch=4),
        "slowfast_16x8_r101_nl": Variant(
            SlowFastConfig(frames=64, blocks=_R101, fusion_kernel=5, non_local=True),
            79.8,
            max_batch=4,
            poster=PosterFigures(gmacs=234.0, parameters_m=59.9),
        ),
    }
)
