"""Layers over the frames of a clip: a frame sees its neighbours and the class token, which sees all.

Its authors compute this with a library's sliding window. Written densely, with a mask, it is the same and can be
exported; the window's saving is nothing beside what the frames themselves cost. Attribute names are those of the
authors' checkpoints, which took them from that library.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from laps_export.families.token_layers import attend
from laps_export.families.vision_transformer import MLP_RATIO
from laps_export.families.vtn.config import VtnConfig

EPS = 1e-12
"""Of every layer norm in here, as the library has it."""


class Embeddings(nn.Module):
    """Frames behind a class token, each with the embedding of its place and of its kind."""

    places: Tensor  # [1 + T] int64
    kinds: Tensor  # [1 + T] int64

    def __init__(self, config: VtnConfig) -> None:
        super().__init__()
        self.position_embeddings = nn.Embedding(config.places, config.width)
        self.token_type_embeddings = nn.Embedding(2, config.width)
        self.LayerNorm = nn.LayerNorm(config.width, eps=EPS)
        # A place is the frame's number in a video of 25 frames a second, where these are the clip's own numbers.
        self.register_buffer("places", torch.tensor([config.frame_places, *range(config.frames)]), persistent=False)
        self.register_buffer("kinds", torch.tensor([1] + [0] * config.frames), persistent=False)

    def forward(self, frames: Tensor, class_token: Tensor) -> Tensor:
        """`[B, T, C]` and `[1, 1, C]` to `[B, 1 + T, C]`."""
        added = self.position_embeddings(self.places) + self.token_type_embeddings(self.kinds)  # [1 + T, C]
        # An empty place in front, then one sum: a graph need not ask for the batch's size.
        first = functional.pad(class_token, [0, 0, 0, frames.shape[1]])  # [1, 1 + T, C]
        embedded: Tensor = self.LayerNorm(functional.pad(frames, [0, 0, 1, 0]) + first + added)
        return embedded


class NearbyAttention(nn.Module):
    """What each token takes from those that it sees; the class token has projections of its own."""

    unseen: Tensor  # [1 + T, 1 + T] float32, 0 or -inf

    def __init__(self, config: VtnConfig) -> None:
        super().__init__()
        self.heads = config.heads
        width = config.width
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.query_global, self.key_global, self.value_global = (nn.Linear(width, width) for _ in range(3))
        places = torch.arange(1 + config.frames)
        seen = (places[:, None] - places[None, :]).abs() <= config.reach
        seen[:, 0] = True
        unseen = torch.zeros(seen.shape).masked_fill(~seen, -math.inf)
        self.register_buffer("unseen", unseen, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, 1 + T, C]` to the same shape."""
        frames = attend(self.query(x[:, 1:]), self.key(x), self.value(x), heads=self.heads, bias=self.unseen[1:])
        first = attend(self.query_global(x[:, :1]), self.key_global(x), self.value_global(x), heads=self.heads)
        return torch.cat([first, frames], dim=1)


class Output(nn.Module):
    """Project a branch, add it to the stream, norm."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(channels, width)
        self.LayerNorm = nn.LayerNorm(width, eps=EPS)

    def forward(self, branch: Tensor, stream: Tensor) -> Tensor:
        """`[..., D]` and `[..., C]` to `[..., C]`."""
        normed: Tensor = self.LayerNorm(stream + self.dense(branch))
        return normed


class Layer(nn.Module):
    """Residual attention and a residual MLP, each with a norm behind it."""

    def __init__(self, config: VtnConfig) -> None:
        super().__init__()
        hidden = MLP_RATIO * config.width
        self.attention = nn.ModuleDict({"self": NearbyAttention(config), "output": Output(config.width, config.width)})
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(config.width, hidden)})
        self.output = Output(hidden, config.width)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, 1 + T, C]` to the same shape."""
        x = self.attention["output"](self.attention["self"](x), x)
        mixed: Tensor = self.output(functional.gelu(self.intermediate["dense"](x)), x)
        return mixed


class TemporalEncoder(nn.Module):
    """Frames and a class token to what they are in the light of each other."""

    def __init__(self, config: VtnConfig) -> None:
        super().__init__()
        self.embeddings = Embeddings(config)
        layers = nn.Sequential(*(Layer(config) for _ in range(config.layers)))
        self.encoder = nn.ModuleDict({"layer": layers})

    def forward(self, frames: Tensor, class_token: Tensor) -> Tensor:
        """`[B, T, C]` and `[1, 1, C]` to `[B, 1 + T, C]`."""
        encoded: Tensor = self.encoder["layer"](self.embeddings(frames, class_token))
        return encoded
