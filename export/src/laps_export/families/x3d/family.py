"""The family's row: all that the exporter knows of X3D beside the networks themselves."""

from __future__ import annotations

from laps_export.families.family import Family, LabelOrder, Normalisation, OutputKind, ServingDefaults
from laps_export.families.x3d.checkpoint_names import NAMES, PYTORCHVIDEO
from laps_export.families.x3d.config import X3DConfig
from laps_export.families.x3d.network import X3D
from laps_export.families.x3d.variants import VARIANTS

X3D_FAMILY = Family(
    name="x3d",
    variants=VARIANTS,
    build=X3D,
    read_config=X3DConfig.from_json,
    pixels=Normalisation(mean=(0.45,) * 3, std=(0.225,) * 3),
    # Hidden layers follow the average over time, and nothing can be told of a step.
    output=OutputKind.PER_CLIP,
    serving=ServingDefaults(default_views="10x3", stride=5, sampling=("slowfast_uniform",)),
    names=NAMES,
    layouts=(PYTORCHVIDEO,),
    labels=LabelOrder("kinetics400-alphabetical"),
    average="probabilities",
    residual_ends=("branch2.c.weight",),
)
