"""The family's row: all that the exporter knows of ViT (Video) and TokShift beside the networks themselves."""

from __future__ import annotations

from types import MappingProxyType

from laps_export.families.family import (
    Family,
    LabelOrder,
    Normalisation,
    OutputKind,
    PosterFigures,
    ResizeAndCrop,
    ServingDefaults,
    Variant,
)
from laps_export.families.vit.checkpoint_names import NAMES, PUBLISHED_NAMES
from laps_export.families.vit.config import VitConfig
from laps_export.families.vit.network import Vit

MAX_BATCH = 4
"""A view of eight frames takes 1.5 seconds on two cores: larger batches make nothing quicker and others wait."""

VARIANTS: MappingProxyType[str, Variant[VitConfig]] = MappingProxyType(
    {
        "vit_video": Variant(
            VitConfig(), 76.02, max_batch=MAX_BATCH, poster=PosterFigures(gmacs=134.7, parameters_m=85.9)
        ),
        "tokshift": Variant(VitConfig(shift=True), 77.28, max_batch=MAX_BATCH),
        "tokshift_16": Variant(
            VitConfig(shift=True, frames=16),
            78.18,
            max_batch=MAX_BATCH,
            poster=PosterFigures(gmacs=269.5, parameters_m=85.9),
        ),
        "tokshift_mr": Variant(
            VitConfig(shift=True, resolution=256),
            77.68,
            max_batch=MAX_BATCH,
            poster=PosterFigures(gmacs=175.8, parameters_m=85.9),
        ),
    }
)

VIT = Family(
    name="vit",
    variants=VARIANTS,
    build=Vit,
    read_config=VitConfig.from_json,
    pixels=Normalisation(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
    output=OutputKind.PER_FRAME,
    serving=ServingDefaults(default_views="10x3", stride=32, sampling=("tokshift",)),
    names=NAMES,
    layouts=(PUBLISHED_NAMES,),
    # The same authors' later networks have it; none of these networks' trained answers has been seen.
    labels=LabelOrder("kinetics400-laps", proven=False),
    embedding=lambda config: config.width,
    resize_and_crop=ResizeAndCrop(interpolation="bilinear_antialiased", crop_order="centre_first"),
    residual_ends=("attn.proj.weight", "mlp.fc2.weight"),
    positions=("pos_embed", "cls_token"),
)
