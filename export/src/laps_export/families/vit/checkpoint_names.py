"""How the authors' files name the weights of this family: in two ways, both behind one prefix.

module.base_model.blocks.0.attn.qkv.weight                               152 names
module.base_model.transformer.encoder.layer.0.attn.query.weight          200 names, as the published files have
"""

from __future__ import annotations

import re

from laps_export.families.family import CheckpointNames, WeightsKey
from laps_export.families.renaming import translation

_PREFIX = "module.base_model."
_KEYS = (WeightsKey("state_dict"), WeightsKey("model", backbone=True))
_LAYER = r"transformer\.encoder\.layer\.(\d+)\."

NAMES = CheckpointNames(
    own_part=re.compile(r"(?:^|(?<=\.))(?:cls_token|pos_embed|patch_embed|blocks|norm|head)(?=\.|$)"),
    prefix=_PREFIX,
    keys=_KEYS,
)

PUBLISHED_NAMES = CheckpointNames(
    own_part=re.compile(r"(?:^|(?<=\.))(?:transformer|head)(?=\.)"),
    prefix=_PREFIX,
    keys=_KEYS,
    translate=translation(
        (
            (r"transformer\.embeddings\.cls_token", "cls_token"),
            (r"transformer\.embeddings\.position_embeddings", "pos_embed"),
            (r"transformer\.embeddings\.patch_embeddings\.(.*)", r"patch_embed.proj.\1"),
            (_LAYER + r"attention_norm\.(.*)", r"blocks.\1.norm1.\2"),
            (_LAYER + r"attn\.out\.(.*)", r"blocks.\1.attn.proj.\2"),
            (_LAYER + r"attn\.(query|key|value)\.(.*)", r"blocks.\1.attn.\2.\3"),
            (_LAYER + r"ffn_norm\.(.*)", r"blocks.\1.norm2.\2"),
            (_LAYER + r"ffn\.(.*)", r"blocks.\1.mlp.\2"),
            (r"transformer\.encoder\.encoder_norm\.(.*)", r"norm.\1"),
        ),
        stack=(((".query.", ".key.", ".value."), ".qkv."),),
    ),
)
