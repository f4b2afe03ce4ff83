"""The variants of the family by name: one network, whose clips are longer or shorter.

The poster's has 64 frames, for which nobody published a checkpoint; the published ones have 16 and 32.
"""

from __future__ import annotations

from types import MappingProxyType

from laps_export.families.family import PosterFigures, ServingDefaults, Variant
from laps_export.families.mvit.config import MvitConfig

SERVING = ServingDefaults(default_views="3x3", stride=3, sampling=("slowfast_offset",))
_EVERY_4TH = ServingDefaults(default_views="3x3", stride=4, sampling=("slowfast_offset",))

VARIANTS: MappingProxyType[str, Variant[MvitConfig]] = MappingProxyType(
    {
        "mvit_b_16": Variant(MvitConfig(frames=16), max_batch=8, serving=_EVERY_4TH),
        # A user of the authors' repository has such a file (their issue 456); it was not seen here.
        "mvit_b_16_old": Variant(MvitConfig(frames=16, key_pools=14), max_batch=8, serving=_EVERY_4TH),
        "mvit_b_32": Variant(MvitConfig(frames=32), 80.4, max_batch=4),
        "mvit_b_64": Variant(
            MvitConfig(frames=64), 81.20, max_batch=1, poster=PosterFigures(gmacs=455.0, parameters_m=36.64)
        ),
    }
)
