"""The variants of the family by name."""

from __future__ import annotations

from types import MappingProxyType

from laps_export.families.family import PosterFigures, Variant
from laps_export.families.video_swin.config import VideoSwinConfig

VARIANTS: MappingProxyType[str, Variant[VideoSwinConfig]] = MappingProxyType(
    {
        "video_swin_b": Variant(
            VideoSwinConfig(), 80.60, max_batch=2, poster=PosterFigures(gmacs=281.6, parameters_m=88.0)
        ),
    }
)
