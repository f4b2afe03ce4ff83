"""Starting weights from which motion is learned.

From a plain start nothing is: attention is nearly uniform, so its output is the frame's average, and the shift
exchanges averages between frames instead of local features. Here every token begins by attending to what looks
like itself (queries equal keys, with rows longer than usual), and the value begins as the identity. The projection
begins as the identity too, but with its sign turned where the shift has put a neighbour frame's channel: the
residual sum is then a difference in time, beside the channels that stay and tell what is there. `tokens` and
`products` say what the layers before and after begin with.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from laps_export.errors import ConfigError
from laps_export.families.channel_shift import SHIFT_FOLDS
from laps_export.families.family import MotionOutputs
from laps_export.families.laps.attention import Attention
from laps_export.families.laps.starting_weights.products import initialise_products, initialise_readout
from laps_export.families.laps.starting_weights.tokens import initialise_tokens
from laps_export.families.laps.visformer import Laps

QUERY_ROW_NORM = 2.0
"""Length of a query's row: with inputs of unit size a token's own score is about sqrt(d) times its square."""
_VALUE_NOISE = 0.1
_CONV_GAIN = 3**-0.5
_HEAD_SCALE = 0.02
_LONGEST_WAVE = 2.0  # in grid sides: half a wave across the frame tells left from right


def initialise(network: nn.Module, *, seed: int, waves: bool, outputs: MotionOutputs) -> None:
    """Give a model the weights from which training starts, the same for the same seed.

    Args:
        network: a `Laps`, changed in place.
        seed: of everything random.
        waves: begin with cosines and their products in the first layers (`tokens`, `products`), not with noise.
        outputs: what the products tell of is read from these by the head.

    Raises:
        ConfigError: `invalid_embed_dim`, too narrow for what it should begin with.
    """
    if not isinstance(network, Laps):
        raise TypeError(f"{type(network).__name__} is no network of this family")
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                fan_in = module.weight[0].numel()
                module.weight.normal_(0.0, _CONV_GAIN * fan_in**-0.5, generator=generator)
                if module.bias is not None:
                    module.bias.zero_()
        for module in network.modules():
            if isinstance(module, Attention):
                _initialise_attention(module, generator)
        for embedding in (network.pos_embed1, network.pos_embed2, network.pos_embed3):
            embedding.copy_(sine_positions(embedding.shape[1], embedding.shape[2]))
        network.head.weight.normal_(0.0, _HEAD_SCALE, generator=generator)
        network.head.bias.zero_()
        if waves:
            initialise_tokens(network, generator)
            initialise_products(network)
            initialise_readout(network, outputs)


def sine_positions(channels: int, side: int) -> Tensor:
    """Sines and cosines of row and column at growing frequencies: `[1, C, side, side]`.

    Raises:
        ConfigError: `invalid_embed_dim`, C is no multiple of 4.
    """
    if channels % 4:
        raise ConfigError(
            f"{channels} channels cannot carry sine positions", code="invalid_embed_dim", hint="a multiple of 4"
        )
    waves = channels // 4
    place = (torch.arange(side) + 0.5) / side  # 0 to 1
    # From the longest wave down to one that the grid can just carry.
    lengths = _LONGEST_WAVE * (2.0 / side / _LONGEST_WAVE) ** (torch.arange(waves) / max(waves - 1, 1))
    angles = 2 * math.pi * place / lengths[:, None]  # [waves, side]
    sines = torch.cat([angles.sin(), angles.cos()])  # [C/2, side]
    rows = sines[:, :, None].expand(-1, -1, side)
    columns = sines[:, None, :].expand(-1, side, -1)
    return torch.cat([rows, columns])[None].clone()


def _initialise_attention(attention: Attention, generator: torch.Generator) -> None:
    dim = attention.proj.weight.shape[0]
    query = torch.randn(dim, dim, generator=generator) * QUERY_ROW_NORM * dim**-0.5
    noise = torch.randn(2, dim, dim, generator=generator) * _VALUE_NOISE * dim**-0.5
    value = torch.eye(dim) + noise[0]
    projection = torch.diag(_signs(attention)) + noise[1]
    attention.qkv.weight.copy_(torch.cat([query, query, value])[..., None, None])
    attention.proj.weight.copy_(projection[..., None, None])


def _signs(attention: Attention) -> Tensor:
    """`[C]`: -1 for channels that the shift takes from another frame, 1 for those that stay."""
    dim = attention.heads * attention.head_dim
    if not attention.shift_groups:
        return torch.ones(dim)
    span = dim // attention.shift_groups
    shifted = torch.arange(dim) % span < 2 * (span // SHIFT_FOLDS)
    return torch.where(shifted, -1.0, 1.0)
