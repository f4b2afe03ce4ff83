"""How files name the weights of this family: as the authors of TDN and of GC-TDN do.

module.base_model.layer2_bak.0.mse.conv1.weight, module.new_fc.weight
module.base_model.layer2_bak.0.eft1.conv.weight    beside them, in GC-TDN
"""

from __future__ import annotations

import re

from laps_export.families.family import CheckpointNames, WeightsKey

NAMES = CheckpointNames(
    # Other families' files have `base_model.` before every name too.
    own_part=re.compile(
        r"(?:^|(?<=\.))(?:base_model\.(?:conv1|bn1|conv1_5|conv1_temp|resnext_layer1|layer[1-4]_bak)|new_fc)(?=\.)"
    ),
    prefix="module.",
    keys=(WeightsKey("state_dict"),),
    head=("new_fc.weight", "new_fc.bias"),
    # What the authors' classes have and never call: a convolution, and in GC-TDN's blocks a norm.
    unused=re.compile(r".*\bbase_model\.(?:conv1_temp\.(?:weight|bias)|.*\.eft3\.bn1\.\w+)"),
)
