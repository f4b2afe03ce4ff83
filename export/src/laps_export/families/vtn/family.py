"""The family's row: all that the exporter knows of VTN beside the network itself."""

from __future__ import annotations

import re
from types import MappingProxyType

from laps_export.families.family import (
    CheckpointNames,
    Family,
    LabelOrder,
    Normalisation,
    OutputKind,
    PosterFigures,
    ServingDefaults,
    Variant,
    WeightsKey,
)
from laps_export.families.vtn.config import VtnConfig
from laps_export.families.vtn.network import Vtn

_SHORT_SIDE = 256
_CROP = 224


def short_side(config: VtnConfig) -> int:
    """The margin around the crop is the same share at every resolution."""
    return config.resolution * _SHORT_SIDE // _CROP


VARIANTS: MappingProxyType[str, Variant[VtnConfig]] = MappingProxyType(
    {"vtn": Variant(VtnConfig(), 77.72, max_batch=1, poster=PosterFigures(gmacs=4218.0, parameters_m=114.0))}
)

VTN = Family(
    name="vtn",
    variants=VARIANTS,
    build=Vtn,
    read_config=VtnConfig.from_json,
    pixels=Normalisation(mean=(0.45, 0.45, 0.45), std=(0.225, 0.225, 0.225)),
    output=OutputKind.PER_CLIP,
    serving=ServingDefaults(default_views="1x1", stride=1, sampling=("whole_clip",)),
    names=CheckpointNames(
        own_part=re.compile(r"(?:^|(?<=\.))(?:cls_token|backbone|temporal_encoder|mlp_head)(?=\.|$)"),
        prefix="",
        keys=(WeightsKey("model_state"),),
        head=("mlp_head.4.weight", "mlp_head.4.bias"),
        unused=re.compile(r"temporal_encoder\.embeddings\.position_ids"),
    ),
    # Its data are those of a project that has the usual order, and nothing says otherwise.
    labels=LabelOrder("kinetics400-alphabetical", proven=False),
    embedding=lambda config: config.width,
    short_side=short_side,
    residual_ends=("attn.proj.weight", "mlp.fc2.weight", "output.dense.weight"),
    positions=("pos_embed", "position_embeddings", "token_type_embeddings", "cls_token"),
)
