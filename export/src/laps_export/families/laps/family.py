"""The family's row: all that the exporter knows of LAPS beside the networks themselves."""

from __future__ import annotations

from laps_export.families.family import Family, Float16Span, Normalisation, OutputKind, ServingDefaults, Training
from laps_export.families.laps.checkpoint_names import NAMES
from laps_export.families.laps.config import LapsConfig
from laps_export.families.laps.folding import fold_batch_norm
from laps_export.families.laps.starting_weights.initialise import initialise
from laps_export.families.laps.variants import VARIANTS
from laps_export.families.laps.visformer import Laps

PIXELS = Normalisation(mean=(0.486, 0.457, 0.407), std=(0.229, 0.224, 0.225))
"""As the authors' evaluation has them."""


def leap_levels(config: LapsConfig) -> str:
    """The leap levels of both stages' blocks as a table shows them."""
    if not config.levels[0]:
        return "-"
    return " / ".join("[" + ",".join(map(str, levels)) + "]" for levels in config.levels)


LAPS = Family(
    name="laps",
    variants=VARIANTS,
    build=Laps,
    read_config=LapsConfig.from_json,
    pixels=PIXELS,
    output=OutputKind.PER_FRAME,
    # The second rule never goes back in time: the project's own models are trained for it.
    serving=ServingDefaults(default_views="5x3", stride=8, sampling=("laps_uniform", "uniform_in_order")),
    names=NAMES,
    for_inference=fold_batch_norm,
    residual_ends=("mlp.conv3.weight", "attn.proj.weight"),
    positions=("pos_embed",),
    # In float32 remain the pixels, before the first convolution, and the mean over a frame with the head behind it.
    float16=Float16Span(first="Conv", end="ReduceMean"),
    columns=(("levels stage2 / stage3", leap_levels),),
    training=Training(variant="laps_nano", initialise=initialise),
)
