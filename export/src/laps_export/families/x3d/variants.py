"""The variants of the family by name: L and XL differ in width, and pytorchvideo's L in one batch norm."""

from __future__ import annotations

from types import MappingProxyType

from laps_export.families.family import PosterFigures, Variant
from laps_export.families.x3d.config import X3DConfig

VARIANTS: MappingProxyType[str, Variant[X3DConfig]] = MappingProxyType(
    {
        "x3d_l": Variant(X3DConfig(), 77.5, max_batch=4, poster=PosterFigures(gmacs=24.8, parameters_m=6.1)),
        "x3d_l_pytorchvideo": Variant(X3DConfig(first_norm=False), max_batch=4),
        # Nobody published a checkpoint; top-1 is the poster's.
        "x3d_xl": Variant(
            X3DConfig(stem=32, outer=(32, 72, 136, 280), inner=(72, 162, 306, 630), squeezed=(8, 16, 24, 40)),
            79.1,
            max_batch=4,
            poster=PosterFigures(gmacs=48.4, parameters_m=11.0),
        ),
    }
)
