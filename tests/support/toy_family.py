"""A second family, unlike the first wherever the exporter lets families differ: what a new folder has to bring."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from laps_export.errors import ConfigError
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
from laps_export.families.renaming import translation


@dataclass(frozen=True, kw_only=True)
class ToyConfig:
    frames: int = 4
    resolution: int = 32
    classes: int = 400
    width: int = 8

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def read_config(data: dict[str, Any]) -> ToyConfig:
    try:
        return ToyConfig(**data)
    except TypeError as exc:
        raise ConfigError(f"configuration cannot be read: {exc}", code="invalid_config") from exc


class Toy(nn.Module):
    """A convolution of every frame, averaged over space and time; one answer a clip, and what it was read from."""

    def __init__(self, config: ToyConfig) -> None:
        super().__init__()
        self.frames = config.frames
        self.conv = nn.Conv2d(3, config.width, 4, stride=4)
        self.fc = nn.Linear(config.width, config.classes)

    def forward(self, clips: Tensor) -> tuple[Tensor, Tensor]:
        """`[B, T, 3, H, W]` to `[B, K]` and `[B, C]`."""
        maps = torch.relu(self.conv(clips.flatten(0, 1)))  # [B*T, C, h, w]
        pooled = maps.mean((2, 3)).reshape(-1, self.frames, maps.shape[1]).mean(1)  # [B, C]
        return self.fc(pooled), pooled


TOY = Family(
    name="toy",
    variants={
        "toy_small": Variant(ToyConfig(), max_batch=4),
        "toy_wide": Variant(
            ToyConfig(width=16),
            12.5,
            max_batch=1,
            serving=ServingDefaults(default_views="1x3", stride=4, sampling=("tokshift",)),
            poster=PosterFigures(gmacs=0.5),
        ),
    },
    build=Toy,
    read_config=read_config,
    pixels=Normalisation(mean=(0.45, 0.45, 0.45), std=(0.225, 0.225, 0.225)),
    output=OutputKind.PER_CLIP,
    serving=ServingDefaults(default_views="2x1", stride=2, sampling=("uniform_in_order",)),
    names=CheckpointNames(
        own_part=re.compile(r"(?:^|(?<=\.))(?:conv|fc)(?=\.)"),
        prefix="net.",
        keys=(WeightsKey("model_state"),),
        head=("fc.weight", "fc.bias"),
        unused=re.compile(r"fc\.counter"),
    ),
    layouts=(
        # Another library saves weights with nothing around them, and its linear layer in two halves.
        CheckpointNames(
            own_part=re.compile(r"(?:^|(?<=\.))(?:filters|upper|lower)(?=\.)"),
            prefix="",
            keys=(WeightsKey(""),),
            translate=translation(((r"filters\.(.*)", r"conv.\1"),), stack=((("upper.", "lower."), "fc."),)),
        ),
    ),
    labels=LabelOrder("kinetics400-alphabetical", proven=False),
    embedding=lambda config: config.width,
    short_side=lambda config: config.resolution * 8 // 7,
    columns=(("width", lambda config: str(config.width)),),
)
