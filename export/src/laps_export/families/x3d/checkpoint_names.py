"""How files name the weights of this family.

s2.pathway0_res0.branch2.se.fc1.weight, s1.pathway0_stem.conv_xy.weight, head.lin_5.weight       PySlowFast's
blocks.1.res_blocks.0.branch2.norm_b.1.block.0.weight, blocks.0.conv.conv_t.weight               pytorchvideo's
"""

from __future__ import annotations

import re

from laps_export.families.family import CheckpointNames, WeightsKey
from laps_export.families.renaming import translation

_HEAD = ("head.projection.weight", "head.projection.bias")

NAMES = CheckpointNames(
    own_part=re.compile(
        r"(?:^|(?<=\.))(?:s1\.pathway0|s[2-5]\.pathway0_res\d+|head\.(?:conv_5|conv_5_bn|lin_5|projection))(?=[._])"
    ),
    prefix="",
    keys=(WeightsKey("model_state"),),
    head=_HEAD,
)

_STAGES = tuple(
    (rf"blocks\.{theirs}\.res_blocks\.(\d+)\.", rf"s{theirs + 1}.pathway0_res\1.") for theirs in (1, 2, 3, 4)
)

PYTORCHVIDEO = CheckpointNames(
    own_part=re.compile(r"(?:^|(?<=\.))blocks(?=\.\d+\.(?:conv|norm|res_blocks|pool|proj)\.)"),
    prefix="",
    keys=(WeightsKey("model_state"),),
    head=_HEAD,
    translate=translation(
        (
            # Their names of the two are the wrong way round.
            (r"blocks\.0\.conv\.conv_t\.(\w+)", r"s1.pathway0_stem.conv_xy.\1"),
            (r"blocks\.0\.conv\.conv_xy\.(\w+)", r"s1.pathway0_stem.conv.\1"),
            (r"blocks\.0\.norm\.(\w+)", r"s1.pathway0_stem.bn.\1"),
            (r"blocks\.5\.pool\.pre_conv\.(\w+)", r"head.conv_5.\1"),
            (r"blocks\.5\.pool\.pre_norm\.(\w+)", r"head.conv_5_bn.\1"),
            (r"blocks\.5\.pool\.post_conv\.(\w+)", r"head.lin_5.\1"),
            (r"blocks\.5\.proj\.(\w+)", r"head.projection.\1"),
            *(
                row
                for theirs, ours in _STAGES
                for row in (
                    (rf"{theirs}branch1_conv\.(\w+)", rf"{ours}branch1.\2"),
                    (rf"{theirs}branch1_norm\.(\w+)", rf"{ours}branch1_bn.\2"),
                    (rf"{theirs}branch2\.conv_([abc])\.(\w+)", rf"{ours}branch2.\2.\3"),
                    (rf"{theirs}branch2\.norm_([ac])\.(\w+)", rf"{ours}branch2.\2_bn.\3"),
                    (rf"{theirs}branch2\.norm_b\.0\.(\w+)", rf"{ours}branch2.b_bn.\2"),
                    (rf"{theirs}branch2\.norm_b\.1\.block\.0\.(\w+)", rf"{ours}branch2.se.fc1.\2"),
                    (rf"{theirs}branch2\.norm_b\.1\.block\.2\.(\w+)", rf"{ours}branch2.se.fc2.\2"),
                )
            ),
        )
    ),
)
