"""Hidden units that begin as products of what is there and what changes.

A patch that shifts turns one cosine into its neighbour, so the product of a cosine with the change of the next one
over time has the sign of the shift. Four units of an MLP make one product, because the even part of GELU is nearly
a square: (a + b)^2 - (a - b)^2 = 4 a b. What the products mean for the label is left to be learned; with them it is
a matter of linear weights.
"""

from __future__ import annotations

import torch

from laps_export.attention import SHIFT_FOLDS, Attention
from laps_export.layers import AttentionBlock
from laps_export.tokens import wave_order, wave_slopes

READOUT = 0.5  # of the sums of products that tell a shift to the right and one down
_SCALE = 0.7  # of the sum of two normalised channels


def initialise_products(block: AttentionBlock) -> None:
    """Overwrite rows of a block's first MLP layer, as many as there are products and units."""
    attention: Attention = block.attn
    if not attention.shift_groups:
        return
    head_dim, heads = attention.head_dim, attention.heads
    fold = head_dim // SHIFT_FOLDS
    order = wave_order()
    ranks = {wave: rank for rank, wave in enumerate(order)}
    weight = block.mlp.conv1.weight  # [4C, C, 1, 1]
    readout = block.mlp.conv3.weight  # [C, 4C, 1, 1]
    slopes = wave_slopes()
    row = 0
    for rank, (u, v) in enumerate(order[:fold]):
        for near in ((u, v - 1), (u, v + 1), (u - 1, v), (u + 1, v)):
            if ranks.get(near, head_dim) >= head_dim - 2 * fold:
                continue
            for head in range(heads):
                if row + 4 > weight.shape[0]:
                    return
                first = head * head_dim
                there = torch.zeros(weight.shape[1])
                there[first + 2 * fold + ranks[near]] = _SCALE
                change = torch.zeros(weight.shape[1])
                # One holds now - next, the other now - before: their difference is next - before.
                change[first + rank], change[first + fold + rank] = -_SCALE / 2, _SCALE / 2
                across = u == near[0]
                share = float(slopes[v, near[1]] if across else slopes[u, near[0]])
                # The last two channels that stay hold the finest wave and the mean: they can take the sums.
                target = first + head_dim - (1 if across else 2)
                for sign_there, sign_change in ((1, 1), (-1, -1), (1, -1), (-1, 1)):
                    weight[row, :, 0, 0] = sign_there * there + sign_change * change
                    readout[:, row] *= 0.5
                    readout[target, row, 0, 0] = sign_there * sign_change * share * READOUT
                    row += 1
