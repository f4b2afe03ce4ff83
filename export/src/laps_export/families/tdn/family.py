"""The family's row: all that the exporter knows of TDN beside the network itself."""

from __future__ import annotations

from laps_export.families.family import (
    Family,
    Normalisation,
    OutputKind,
    ResizeAndCrop,
    ServingDefaults,
)
from laps_export.families.tdn.checkpoint_names import NAMES
from laps_export.families.tdn.config import SEGMENT_FRAMES, TdnConfig
from laps_export.families.tdn.network import Tdn
from laps_export.families.tdn.variants import VARIANTS


def steps(config: TdnConfig) -> tuple[tuple[int, int], ...]:
    """First and last frame of each segment."""
    firsts = range(0, config.frames, SEGMENT_FRAMES)
    return tuple((first, first + SEGMENT_FRAMES - 1) for first in firsts)


TDN = Family(
    name="tdn",
    variants=VARIANTS,
    build=Tdn,
    read_config=TdnConfig.from_json,
    pixels=Normalisation(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
    output=OutputKind.PER_STEP,
    steps=steps,
    serving=ServingDefaults(default_views="10x3", stride=1, sampling=("segments_of_5",)),
    names=NAMES,
    # Nobody tells the order of the authors' classes.
    labels=None,
    average="probabilities",
    resize_and_crop=ResizeAndCrop(interpolation="bilinear_antialiased", crop_order="ends_first", crop_offset="down"),
    residual_ends=("conv3.weight",),
)
