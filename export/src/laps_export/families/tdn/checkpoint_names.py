"""How files name the weights of this family.

module.base_model.layer2_bak.0.mse.conv1.weight, module.new_fc.weight                  the authors' own, the only one
"""

from __future__ import annotations

import re

from laps_export.families.family import CheckpointNames, WeightsKey

NAMES = CheckpointNames(
    own_part=re.compile(r"(?:^|(?<=\.))(?:base_model|new_fc)(?=\.)"),
    prefix="module.",
    keys=(WeightsKey("state_dict"),),
    head=("new_fc.weight", "new_fc.bias"),
    # A convolution that the authors' class has and never calls.
    unused=re.compile(r".*\bbase_model\.conv1_temp\.(?:weight|bias)"),
)
