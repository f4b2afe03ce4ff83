"""Batch normalisation folded into the convolutions beside it, for inference only.

At evaluation a batch norm is `scale * x + shift` per channel. Where a convolution precedes it (stem, patch
embeddings) it scales that convolution's output; where a pointwise convolution or the head follows it (all
the rest), it scales that one's input. Both are exact because no padded convolution ever follows a norm.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from laps_export.families.laps.layers import AttentionBlock, BatchNorm, ConvBlock
from laps_export.families.laps.visformer import Laps


def fold_batch_norm(model: Laps) -> Laps:
    """A copy of `model` in evaluation mode that computes the same without any batch norm."""
    folded = copy.deepcopy(model).eval()
    with torch.no_grad():
        _fold_behind(folded.stem, "0", "1")
        for embed in (folded.patch_embed1, folded.patch_embed2, folded.patch_embed3):
            _fold_behind(embed, "proj", "norm")
        for module in folded.modules():
            if isinstance(module, AttentionBlock):
                _fold_ahead(module, "norm1", module.attn.qkv)
            if isinstance(module, (ConvBlock, AttentionBlock)):
                _fold_ahead(module, "norm2", module.mlp.conv1)
        # The pool between norm and head averages pixels, and an affine map commutes with an average.
        _fold_ahead(folded, "norm", folded.head)
    return folded


def _fold_behind(owner: nn.Module, conv_name: str, norm_name: str) -> None:
    """Fold a norm into the convolution that precedes it."""
    conv = owner.get_submodule(conv_name)
    if not isinstance(conv, nn.Conv2d):
        raise TypeError(f"{conv_name} is {type(conv).__name__}, not a convolution")
    scale, shift = _take_norm(owner, norm_name)
    weight = conv.weight.double() * scale.view(-1, 1, 1, 1)
    bias = shift if conv.bias is None else conv.bias.double() * scale + shift
    _set(conv, weight, bias)


def _fold_ahead(owner: nn.Module, norm_name: str, layer: nn.Conv2d | nn.Linear) -> None:
    """Fold a norm into the pointwise convolution or linear layer that follows it."""
    scale, shift = _take_norm(owner, norm_name)
    weight = layer.weight.double()
    bias = weight.flatten(1) @ shift
    if layer.bias is not None:
        bias = bias + layer.bias.double()
    _set(layer, weight * scale.view(1, -1, *(1,) * (weight.dim() - 2)), bias)


def _take_norm(owner: nn.Module, name: str) -> tuple[Tensor, Tensor]:
    """Replace a norm by nothing; its scale and shift `[C]` in float64, so that folding rounds once."""
    norm = owner.get_submodule(name)
    bn = norm.bn if isinstance(norm, BatchNorm) else None
    if bn is None or bn.running_mean is None or bn.running_var is None:
        raise TypeError(f"{name} is no batch norm with running statistics")
    setattr(owner, name, nn.Identity())
    scale = bn.weight.double() / torch.sqrt(bn.running_var.double() + bn.eps)
    return scale, bn.bias.double() - bn.running_mean.double() * scale


def _set(layer: nn.Conv2d | nn.Linear, weight: Tensor, bias: Tensor) -> None:
    dtype = layer.weight.dtype
    layer.weight = nn.Parameter(weight.to(dtype))
    layer.bias = nn.Parameter(bias.to(dtype))
