"""How files name the weights of this family.

model.blocks.0.temporal_attn.qkv.weight                                       the authors' own
timesformer.encoder.layer.0.temporal_attention.attention.qkv.weight           transformers'
"""

from __future__ import annotations

import re

from laps_export.families.family import CheckpointNames, WeightsKey
from laps_export.families.renaming import translation

NAMES = CheckpointNames(
    own_part=re.compile(r"(?:^|(?<=\.))(?:cls_token|pos_embed|time_embed|patch_embed\.proj|blocks|norm|head)(?=\.|$)"),
    prefix="model.",
    keys=(WeightsKey("model_state"),),
)

_TRANSFORMERS_BLOCK = {
    "temporal_layernorm": "temporal_norm1",
    "temporal_attention.attention.qkv": "temporal_attn.qkv",
    "temporal_attention.output.dense": "temporal_attn.proj",
    "temporal_dense": "temporal_fc",
    "layernorm_before": "norm1",
    "attention.attention.qkv": "attn.qkv",
    "attention.output.dense": "attn.proj",
    "layernorm_after": "norm2",
    "intermediate.dense": "mlp.fc1",
    "output.dense": "mlp.fc2",
}

TRANSFORMERS = CheckpointNames(
    own_part=re.compile(r"(?:^|(?<=\.))(?:timesformer|classifier)(?=\.)"),
    prefix="",
    keys=(WeightsKey(""),),
    translate=translation(
        (
            (r"timesformer\.embeddings\.cls_token", "cls_token"),
            (r"timesformer\.embeddings\.position_embeddings", "pos_embed"),
            (r"timesformer\.embeddings\.time_embeddings", "time_embed"),
            (r"timesformer\.embeddings\.patch_embeddings\.projection\.(\w+)", r"patch_embed.proj.\1"),
            (r"timesformer\.layernorm\.(\w+)", r"norm.\1"),
            (r"classifier\.(\w+)", r"head.\1"),
            *(
                (rf"timesformer\.encoder\.layer\.(\d+)\.{re.escape(theirs)}\.(\w+)", rf"blocks.\1.{ours}.\2")
                for theirs, ours in _TRANSFORMERS_BLOCK.items()
            ),
        )
    ),
)
