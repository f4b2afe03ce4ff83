"""How files name the weights of this family.

s2.pathway0_res0.branch2.a_bn.weight, s1_fuse.conv_f2s.weight, head.projection.weight                PySlowFast's
blocks.1.multipathway_blocks.0.res_blocks.0.branch2.norm_a.weight, blocks.6.proj.weight              pytorchvideo's
"""

from __future__ import annotations

import re

from laps_export.families.family import CheckpointNames, WeightsKey
from laps_export.families.renaming import translation

_HEAD = ("head.projection.weight", "head.projection.bias")
_STAGES = 4

NAMES = CheckpointNames(
    own_part=re.compile(r"(?:^|(?<=\.))(?:s[1-5]|s[1-4]_fuse|head\.projection)(?=\.)"),
    prefix="",
    keys=(WeightsKey("model_state"),),
    head=_HEAD,
)

_FUSIONS = tuple(
    row
    for block in range(_STAGES)
    for row in (
        (rf"blocks\.{block}\.multipathway_fusion\.conv_fast_to_slow\.(.+)", rf"s{block + 1}_fuse.conv_f2s.\1"),
        (rf"blocks\.{block}\.multipathway_fusion\.norm\.(.+)", rf"s{block + 1}_fuse.bn.\1"),
    )
)
_STAGE_NAMES = tuple(
    row
    for block in range(1, 1 + _STAGES)
    for theirs, ours in ((rf"blocks\.{block}\.multipathway_blocks\.(\d)\.res_blocks\.(\d+)\.", rf"s{block + 1}"),)
    for row in (
        (rf"{theirs}branch1_conv\.(.+)", rf"{ours}.pathway\1_res\2.branch1.\3"),
        (rf"{theirs}branch1_norm\.(.+)", rf"{ours}.pathway\1_res\2.branch1_bn.\3"),
        (rf"{theirs}branch2\.conv_([abc])\.(.+)", rf"{ours}.pathway\1_res\2.branch2.\3.\4"),
        (rf"{theirs}branch2\.norm_([abc])\.(.+)", rf"{ours}.pathway\1_res\2.branch2.\3_bn.\4"),
    )
)

PYTORCHVIDEO = CheckpointNames(
    own_part=re.compile(r"(?:^|(?<=\.))blocks(?=\.\d+\.(?:multipathway_|proj\.))"),
    prefix="",
    keys=(WeightsKey("model_state"),),
    head=_HEAD,
    translate=translation(
        (
            (r"blocks\.0\.multipathway_blocks\.(\d)\.conv\.(.+)", r"s1.pathway\1_stem.conv.\2"),
            (r"blocks\.0\.multipathway_blocks\.(\d)\.norm\.(.+)", r"s1.pathway\1_stem.bn.\2"),
            (r"blocks\.6\.proj\.(\w+)", r"head.projection.\1"),
            *_FUSIONS,
            *_STAGE_NAMES,
        )
    ),
)
