"""The variants of the family by name.

The poster's rows are pairs: the sum of what a network of 8 segments and one of 16 answer.
"""

from __future__ import annotations

from types import MappingProxyType

from laps_export.families.family import Variant
from laps_export.families.tdn.config import TdnConfig

_R101 = (3, 4, 23, 3)

VARIANTS: MappingProxyType[str, Variant[TdnConfig]] = MappingProxyType(
    {
        "tdn_r50_8": Variant(TdnConfig(), 76.6, max_batch=8),
        "tdn_r50_16": Variant(TdnConfig(segments=16), 77.5, max_batch=4),
        "tdn_r101_8": Variant(TdnConfig(blocks=_R101), 77.5, max_batch=8),
        "tdn_r101_16": Variant(TdnConfig(segments=16, blocks=_R101), 78.5, max_batch=4),
    }
)
