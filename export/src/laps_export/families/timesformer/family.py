"""The family's row: all that the exporter knows of TimeSformer beside the network itself."""

from __future__ import annotations

from laps_export.families.family import Family, LabelOrder, Normalisation, OutputKind, ServingDefaults
from laps_export.families.timesformer.checkpoint_names import NAMES, TRANSFORMERS
from laps_export.families.timesformer.config import TimesformerConfig
from laps_export.families.timesformer.network import Timesformer
from laps_export.families.timesformer.variants import VARIANTS

TIMESFORMER = Family(
    name="timesformer",
    variants=VARIANTS,
    build=Timesformer,
    read_config=TimesformerConfig.from_json,
    pixels=Normalisation(mean=(0.45,) * 3, std=(0.225,) * 3),
    output=OutputKind.PER_CLIP,
    serving=ServingDefaults(default_views="1x3", stride=32, sampling=("slowfast_uniform",)),
    names=NAMES,
    layouts=(TRANSFORMERS,),
    labels=LabelOrder("kinetics400-alphabetical"),
    residual_ends=("attn.proj.weight", "temporal_fc.weight", "mlp.fc2.weight"),
    positions=("pos_embed", "time_embed", "cls_token"),
)
