"""The family's row: all that the exporter knows of Video Swin beside the network itself."""

from __future__ import annotations

from laps_export.families.family import (
    Family,
    LabelOrder,
    Normalisation,
    OutputKind,
    ResizeAndCrop,
    ServingDefaults,
)
from laps_export.families.video_swin.checkpoint_names import NAMES, TORCHVISION
from laps_export.families.video_swin.config import PATCH, VideoSwinConfig
from laps_export.families.video_swin.network import VideoSwin
from laps_export.families.video_swin.variants import VARIANTS


def steps(config: VideoSwinConfig) -> tuple[tuple[int, int], ...]:
    """First and last frame of each step."""
    frames = PATCH[0]
    return tuple((frames * step, frames * step + frames - 1) for step in range(config.steps))


VIDEO_SWIN = Family(
    name="video_swin",
    variants=VARIANTS,
    build=VideoSwin,
    read_config=VideoSwinConfig.from_json,
    pixels=Normalisation(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
    output=OutputKind.PER_STEP,
    steps=steps,
    serving=ServingDefaults(default_views="4x3", stride=2, sampling=("strided_centre",)),
    names=NAMES,
    layouts=(TORCHVISION,),
    labels=LabelOrder("kinetics400-alphabetical"),
    average="probabilities",
    resize_and_crop=ResizeAndCrop(long_side="round", crop_order="ends_first", crop_offset="down"),
    residual_ends=("attn.proj.weight", "mlp.fc2.weight"),
    positions=("relative_position_bias_table",),
)
