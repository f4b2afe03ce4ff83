"""A vision transformer without its head, and its parts: what several families apply to every frame.

Names of weights are those that most libraries give them: `cls_token`, `pos_embed`, `patch_embed.proj`,
`blocks.0.attn.qkv`, `norm`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from laps_export.families.token_layers import Mlp, SelfAttention
from laps_export.families.whole_numbers import WholeNumbers

MLP_RATIO = 4
EPS = 1e-6
"""Of every layer norm in here; torch's own default is ten times that."""


@dataclass(frozen=True, kw_only=True)
class VisionTransformerSize(WholeNumbers):
    """The numbers of a vision transformer; the defaults are those of ViT-B/16.

    Attributes:
        width: C, of a token.
        heads: of every attention.
        depth: number of blocks.
        patch: side of the square of pixels that becomes a token.
    """

    width: int = 768
    heads: int = 12
    depth: int = 12
    patch: int = 16


class PatchEmbed(nn.Module):
    """Cut a picture into squares and project each to one token."""

    def __init__(self, patch: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, patch, stride=patch)

    def forward(self, pictures: Tensor) -> Tensor:
        """`[N, 3, H, W]` to `[N, L, C]`, row by row."""
        tokens: Tensor = self.proj(pictures).flatten(2).transpose(1, 2)
        return tokens


class Block(nn.Module):
    """Residual attention, then a residual MLP, each behind a norm."""

    def __init__(self, size: VisionTransformerSize, *, attention: nn.Module | None = None) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(size.width, eps=EPS)
        self.attn = SelfAttention(size.width, heads=size.heads) if attention is None else attention
        self.norm2 = nn.LayerNorm(size.width, eps=EPS)
        self.mlp = Mlp(size.width, MLP_RATIO * size.width)

    def forward(self, x: Tensor) -> Tensor:
        """`[N, L, C]` to the same shape."""
        x = x + self.attn(self.norm1(x))
        mixed: Tensor = x + self.mlp(self.norm2(x))
        return mixed


class VisionTransformer(nn.Module):
    """Pictures to what their class tokens hold at the end."""

    def __init__(
        self, size: VisionTransformerSize, *, resolution: int, block: Callable[[int], nn.Module] | None = None
    ) -> None:
        """Build one.

        Args:
            size: its numbers.
            resolution: side of a picture in pixels.
            block: makes the block of this number; None makes plain ones.
        """
        super().__init__()
        tokens = 1 + (resolution // size.patch) ** 2
        self.cls_token = nn.Parameter(torch.zeros(1, 1, size.width))
        self.pos_embed = nn.Parameter(torch.zeros(1, tokens, size.width))
        self.patch_embed = PatchEmbed(size.patch, size.width)
        make = block or (lambda _: Block(size))
        self.blocks = nn.Sequential(*(make(i) for i in range(size.depth)))
        self.norm = nn.LayerNorm(size.width, eps=EPS)

    def class_tokens(self, pictures: Tensor) -> Tensor:
        """`[N, 3, R, R]` to `[N, C]`."""
        # An empty place in front, then one sum, since the class token is the same for all: a batch size that the graph
        # would have to ask for is in none of this.
        patches = functional.pad(self.patch_embed(pictures), [0, 0, 1, 0])  # [N, L, C]
        places = self.pos_embed + functional.pad(self.cls_token, [0, 0, 0, self.pos_embed.shape[1] - 1])
        x = patches + places
        # The norm is each token's own: only one is looked at.
        normed: Tensor = self.norm(self.blocks(x)[:, 0])
        return normed
