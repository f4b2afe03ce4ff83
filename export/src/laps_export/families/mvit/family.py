"""The family's row: all that the exporter knows of MViT beside the networks themselves."""

from __future__ import annotations

from laps_export.families.family import Family, LabelOrder, Normalisation, OutputKind
from laps_export.families.mvit.checkpoint_names import NAMES, PYTORCHVIDEO, TORCHVISION
from laps_export.families.mvit.config import MvitConfig
from laps_export.families.mvit.network import Mvit
from laps_export.families.mvit.variants import SERVING, VARIANTS

MVIT = Family(
    name="mvit",
    variants=VARIANTS,
    build=Mvit,
    read_config=MvitConfig.from_json,
    pixels=Normalisation(mean=(0.45,) * 3, std=(0.225,) * 3),
    output=OutputKind.PER_CLIP,
    serving=SERVING,
    names=NAMES,
    layouts=(PYTORCHVIDEO, TORCHVISION),
    labels=LabelOrder("kinetics400-alphabetical"),
    average="probabilities",
    residual_ends=("attn.proj.weight", "mlp.fc2.weight"),
    positions=("pos_embed", "cls_token"),
)
