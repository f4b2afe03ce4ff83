"""The variants of the family by name.

The poster's rows are pairs: the sum of what a network of 8 segments and one of 16 answer.
"""

from __future__ import annotations

from types import MappingProxyType

from laps_export.families.family import PosterFigures, Variant
from laps_export.families.tdn.config import TdnConfig

_R101 = (3, 4, 23, 3)
_R50_POSTER = PosterFigures(gmacs=108.0, parameters_m=26.6, gmacs_of=("tdn_r50_8", "tdn_r50_16"))
_R101_POSTER = PosterFigures(gmacs=198.0, parameters_m=43.9, gmacs_of=("tdn_r101_8", "tdn_r101_16"))
_GC_POSTER = PosterFigures(gmacs=110.1, parameters_m=27.4, gmacs_of=("gc_tdn_r50_8", "gc_tdn_r50_16"))

VARIANTS: MappingProxyType[str, Variant[TdnConfig]] = MappingProxyType(
    {
        "tdn_r50_8": Variant(TdnConfig(), 76.6, max_batch=8, poster=_R50_POSTER),
        "tdn_r50_16": Variant(TdnConfig(segments=16), 77.5, max_batch=4, poster=_R50_POSTER),
        "tdn_r101_8": Variant(TdnConfig(blocks=_R101), 77.5, max_batch=8, poster=_R101_POSTER),
        "tdn_r101_16": Variant(TdnConfig(segments=16, blocks=_R101), 78.5, max_batch=4, poster=_R101_POSTER),
        "gc_tdn_r50_8": Variant(TdnConfig(contextualised=True), 77.3, max_batch=8, poster=_GC_POSTER),
        "gc_tdn_r50_16": Variant(TdnConfig(segments=16, contextualised=True), 78.8, max_batch=4, poster=_GC_POSTER),
    }
)
