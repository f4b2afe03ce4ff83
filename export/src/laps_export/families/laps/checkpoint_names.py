"""How the authors' training code, and what grew around it, names the weights of this family.

module.base_model.stem.0.weight       the authors' own
model.stem.0.weight                   inside another module, as Lightning's
_orig_mod.module.stem.0.weight        compiled, then made parallel
"""

from __future__ import annotations

import re

from laps_export.families.family import CheckpointNames, WeightsKey

NAMES = CheckpointNames(
    own_part=re.compile(r"(?:^|(?<=\.))(?:stem|patch_embed[123]|pos_embed[123]|stage[123]|norm|head)(?=\.|$)"),
    prefix="module.base_model.",
    keys=(
        WeightsKey("state_dict"),
        # The authors' pretrained backbones; whole models of other training code are there too.
        WeightsKey("model", backbone=True),
        WeightsKey("state_dict_ema", averaged=True),
    ),
)
