"""The family's row: all that the exporter knows of ViT-LAPS beside the networks themselves."""

from __future__ import annotations

import re

from laps_export.families.family import (
    CheckpointNames,
    Family,
    LabelOrder,
    Normalisation,
    OutputKind,
    ServingDefaults,
    Variant,
    WeightsKey,
)
from laps_export.families.vit_laps.config import VitLapsConfig
from laps_export.families.vit_laps.network import VitLaps

VIT_LAPS = Family(
    name="vit_laps",
    variants={"vit_laps": Variant(VitLapsConfig(), max_batch=4)},
    build=VitLaps,
    read_config=VitLapsConfig.from_json,
    pixels=Normalisation(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
    output=OutputKind.PER_FRAME,
    serving=ServingDefaults(default_views="5x3", stride=8, sampling=("laps_uniform",)),
    names=CheckpointNames(
        own_part=re.compile(r"(?:^|(?<=\.))(?:cls_token|pos_embed|patch_embed|blocks|norm|head)(?=\.|$)"),
        prefix="module.base_model.",
        keys=(WeightsKey("state_dict"), WeightsKey("model", backbone=True)),
    ),
    labels=LabelOrder("kinetics400-laps"),
    embedding=lambda config: config.width,
    residual_ends=("attn.proj.weight", "mlp.fc2.weight"),
    positions=("pos_embed", "cls_token"),
)
