"""How files name the weights of this family.

blocks.0.attn.qkv.weight, blocks.0.attn.norm_k.weight, head.projection.weight          the authors' own
blocks.0.attn.{q,k,v}.weight, cls_positional_encoding.cls_token, head.proj.weight      pytorchvideo's
blocks.0.attn.pool_k.norm_act.0.weight, pos_encoding.class_token, head.1.weight        torchvision's
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from laps_export.families.family import CheckpointNames, WeightsKey
from laps_export.families.renaming import renamed, translation

if TYPE_CHECKING:
    from torch import Tensor

_HEAD = ("head.projection.weight", "head.projection.bias")

NAMES = CheckpointNames(
    own_part=re.compile(
        r"(?:^|(?<=\.))(?:cls_token|pos_embed_\w+|patch_embed\.proj|blocks|norm|head\.projection)(?=\.|$)"
    ),
    prefix="",
    keys=(WeightsKey("model_state"),),
    head=_HEAD,
)

PYTORCHVIDEO = CheckpointNames(
    own_part=re.compile(
        r"(?:^|(?<=\.))(?:patch_embed\.patch_model|cls_positional_encoding|blocks|norm_embed|head\.proj)(?=\.)"
    ),
    prefix="",
    keys=(WeightsKey("model_state"),),
    head=_HEAD,
    translate=translation(
        (
            (r"patch_embed\.patch_model\.(\w+)", r"patch_embed.proj.\1"),
            (r"cls_positional_encoding\.(\w+)", r"\1"),
            (r"norm_embed\.(\w+)", r"norm.\1"),
            (r"head\.proj\.(\w+)", r"head.projection.\1"),
        ),
        stack=(((".attn.q.", ".attn.k.", ".attn.v."), ".attn.qkv."),),
    ),
)

_TORCHVISION = (
    (r"conv_proj\.(\w+)", r"patch_embed.proj.\1"),
    (r"pos_encoding\.class_token", "cls_token"),
    (r"pos_encoding\.(spatial|temporal|class)_pos", r"pos_embed_\1"),
    (r"blocks\.(\d+)\.attn\.project\.0\.(\w+)", r"blocks.\1.attn.proj.\2"),
    (r"blocks\.(\d+)\.attn\.pool_([qkv])\.pool\.(\w+)", r"blocks.\1.attn.pool_\2.\3"),
    (r"blocks\.(\d+)\.attn\.pool_([qkv])\.norm_act\.0\.(\w+)", r"blocks.\1.attn.norm_\2.\3"),
    (r"blocks\.(\d+)\.mlp\.0\.(\w+)", r"blocks.\1.mlp.fc1.\2"),
    (r"blocks\.(\d+)\.mlp\.3\.(\w+)", r"blocks.\1.mlp.fc2.\2"),
    (r"blocks\.(\d+)\.project\.(\w+)", r"blocks.\1.proj.\2"),
    (r"head\.1\.(\w+)", r"head.projection.\1"),
)
_ROWS = re.compile(r"cls_token|pos_embed_\w+")


def _from_torchvision(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Its names, and the leading axes of length 1 that it leaves out of positions."""
    own = renamed(state, _TORCHVISION)
    return {
        name: value.reshape(*(1,) * (3 - value.dim()), *value.shape) if _ROWS.fullmatch(name) else value
        for name, value in own.items()
    }


TORCHVISION = CheckpointNames(
    own_part=re.compile(r"(?:^|(?<=\.))(?:conv_proj|pos_encoding|blocks|norm|head)(?=\.)"),
    prefix="",
    keys=(WeightsKey(""),),
    head=_HEAD,
    translate=_from_torchvision,
)
