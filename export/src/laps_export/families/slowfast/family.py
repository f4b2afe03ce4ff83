"""The family's row: all that the exporter knows of SlowFast beside the networks themselves."""

from __future__ import annotations

from laps_export.families.family import Family, LabelOrder, Normalisation, OutputKind, ServingDefaults
from laps_export.families.slowfast.checkpoint_names import CAFFE2, NAMES, PYTORCHVIDEO
from laps_export.families.slowfast.config import SlowFastConfig
from laps_export.families.slowfast.network import SlowFast
from laps_export.families.slowfast.variants import VARIANTS

SLOWFAST = Family(
    name="slowfast",
    variants=VARIANTS,
    build=SlowFast,
    read_config=SlowFastConfig.from_json,
    pixels=Normalisation(mean=(0.45,) * 3, std=(0.225,) * 3),
    # At the test's resolution there are several positions, whose probabilities are averaged: no split along time.
    output=OutputKind.PER_CLIP,
    serving=ServingDefaults(default_views="10x3", stride=2, sampling=("slowfast_uniform",)),
    names=NAMES,
    layouts=(PYTORCHVIDEO, CAFFE2),
    labels=LabelOrder("kinetics400-alphabetical"),
    average="probabilities",
    # Products of the non-local blocks grow with the third power of what goes in.
    residual_ends=("branch2.c.weight", "conv_theta.weight", "conv_phi.weight", "conv_out.weight"),
)
