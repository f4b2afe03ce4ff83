"""A model that is LAPS in every part and small enough to export in seconds."""

from __future__ import annotations

from laps_export.families.laps.attention import AttentionKind
from laps_export.families.laps.config import LapsConfig
from laps_export.families.laps.visformer import Laps
from support.golden_weights import golden_state_dict

SMALL = LapsConfig(
    attention=AttentionKind.LAPS,
    frames=8,
    resolution=64,
    levels=((1, 2), (3, 1)),
    embed_dim=32,
    stem_channels=8,
    heads=2,
    depths=(1, 2, 2),
    classes=7,
)


def build_small() -> Laps:
    """Golden weights, evaluation mode."""
    model = Laps(SMALL)
    model.load_state_dict(golden_state_dict(model))
    return model.eval()
