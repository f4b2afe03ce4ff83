"""The variants of the family by name."""

from __future__ import annotations

from types import MappingProxyType

from laps_export.families.family import PosterFigures, Variant
from laps_export.families.timesformer.config import TimesformerConfig

VARIANTS: MappingProxyType[str, Variant[TimesformerConfig]] = MappingProxyType(
    {
        "timesformer": Variant(
            TimesformerConfig(), 78.00, max_batch=8, poster=PosterFigures(gmacs=590.0, parameters_m=121.4)
        ),
    }
)
