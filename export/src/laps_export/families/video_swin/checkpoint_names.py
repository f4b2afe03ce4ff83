"""How files name the weights of this family.

backbone.layers.0.blocks.1.mlp.fc1.weight, cls_head.fc_cls.weight             the authors' own, as mmcv saves them
features.0.1.mlp.0.weight, head.weight                                        torchvision's
"""

from __future__ import annotations

import re

from laps_export.families.family import CheckpointNames, WeightsKey
from laps_export.families.renaming import translation

_HEAD = ("cls_head.fc_cls.weight", "cls_head.fc_cls.bias")
_DERIVED = re.compile(r".*\.relative_position_index")
"""Follows from the window's size."""

NAMES = CheckpointNames(
    own_part=re.compile(r"(?:^|(?<=\.))(?:backbone|cls_head)(?=\.)"),
    prefix="",
    keys=(WeightsKey("state_dict"),),
    head=_HEAD,
    unused=_DERIVED,
)

_STAGES = 4

# Stages and the merging between them take turns.
_TORCHVISION_STAGES = tuple(
    row
    for stage in range(_STAGES)
    for row in (
        (rf"features\.{2 * stage}\.(\d+)\.mlp\.0\.(\w+)", rf"backbone.layers.{stage}.blocks.\1.mlp.fc1.\2"),
        (rf"features\.{2 * stage}\.(\d+)\.mlp\.3\.(\w+)", rf"backbone.layers.{stage}.blocks.\1.mlp.fc2.\2"),
        (rf"features\.{2 * stage}\.(\d+)\.(.+)", rf"backbone.layers.{stage}.blocks.\1.\2"),
        (rf"features\.{2 * stage + 1}\.(.+)", rf"backbone.layers.{stage}.downsample.\1"),
    )
)

TORCHVISION = CheckpointNames(
    own_part=re.compile(r"(?:^|(?<=\.))(?:patch_embed|features|norm|head)(?=\.)"),
    prefix="",
    keys=(WeightsKey(""),),
    head=_HEAD,
    unused=_DERIVED,
    translate=translation(
        (
            (r"(patch_embed|norm)\.(.+)", r"backbone.\1.\2"),
            (r"head\.(\w+)", r"cls_head.fc_cls.\1"),
            *_TORCHVISION_STAGES,
        )
    ),
)
