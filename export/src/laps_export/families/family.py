"""What a family of networks tells the rest of the exporter: one frozen description, filled in by each folder.

A network takes normalised RGB clips `[B, T, 3, H, W]` in float32 and returns logits; all that differs beside the
network itself (pixels, variants, foreign names of weights, how it wants to be served) is a field here, so that
reading, exporting, writing and training ask the description and never the family's name.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum, auto
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar

if TYPE_CHECKING:
    from torch import Tensor, nn  # what has no network in torch asks this module too

MAX_BATCH = 16
"""Largest batch of views that a server puts together where a variant does not say otherwise."""


SamplingRule = Literal[
    "laps_uniform",
    "uniform_in_order",
    "slowfast_uniform",
    "slowfast_offset",
    "strided_centre",
    "segments_of_5",
    "whole_clip",
    "tokshift",
    "steady_25",
]
FRAMES_TOGETHER: Mapping[str, int] = MappingProxyType({"segments_of_5": 5})
"""Rules of sampling that take so many frames at a time: a clip's are a multiple of that."""

Average = Literal["logits", "probabilities"]
Interpolation = Literal["bilinear", "bilinear_antialiased"]
LongSide = Literal["floor", "round"]
CropOrder = Literal["along", "centre_first", "ends_first"]
CropOffset = Literal["up", "down"]
"""What servers know; tests/contract/test_manifest.py compares, and docs/manifest.md tells what each means."""


class OutputKind(StrEnum):
    """What a row of the graph's output stands for; the names are the manifest's."""

    PER_FRAME = auto()
    """Logits for every frame of the clip: `[B, T, K]`."""
    PER_STEP = auto()
    """Logits for every step, which speaks for several frames of the clip: `[B, S, K]`."""
    PER_CLIP = auto()
    """One answer for the clip: `[B, K]`."""


class ModelConfig(Protocol):
    """The numbers that define one network: a frozen dataclass of its family's."""

    @property
    def frames(self) -> int:
        """T, frames a clip."""
        ...

    @property
    def resolution(self) -> int:
        """Height and width of a frame in pixels."""
        ...

    @property
    def classes(self) -> int:
        """K."""
        ...

    def to_json(self) -> dict[str, Any]:
        """A JSON-able twin; `Family.read_config` reads it back."""
        ...


Config = TypeVar("Config", bound=ModelConfig)


@dataclass(frozen=True, kw_only=True)
class ServingDefaults:
    """How a family wants to be served where nobody says otherwise.

    Attributes:
        default_views: temporal x spatial views of a video.
        stride: frames of the video from one sampled frame to the next.
        sampling: names of the rules by which clips may be placed in a video's time, the authors' first.
    """

    default_views: str
    stride: int
    sampling: tuple[SamplingRule, ...]


@dataclass(frozen=True, kw_only=True)
class PosterFigures:
    """What the table of the LAPS poster says of a system; docs/zoo.md has the reason for each difference from ours.

    Attributes:
        gmacs: 1e9 multiply-adds of one view.
        parameters_m: 1e6 learned numbers, where it says how many.
        gmacs_of: the variants whose sum `gmacs` is, where the system is several networks; empty where it is one.
    """

    gmacs: float
    parameters_m: float | None = None
    gmacs_of: tuple[str, ...] = ()


@dataclass(frozen=True)
class Variant(Generic[Config]):
    """One row of a family's table.

    Attributes:
        config: the numbers that define the network.
        reported_top1: Kinetics-400 top-1 in percent as the authors report it, where they do: the one column that
            cannot be computed here.
        max_batch: largest batch of views that its memory allows.
        serving: how it is served by default, where that is not as the rest of its family.
        poster: its row on the poster, where it has one, of its own or with others.
    """

    config: Config
    reported_top1: float | None = None
    max_batch: int = field(default=MAX_BATCH, kw_only=True)
    serving: ServingDefaults | None = field(default=None, kw_only=True)
    poster: PosterFigures | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation of red, green and blue in 0..1: `(x / 255 - mean) / std`."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class ResizeAndCrop:
    """How a server makes crops of a video's frames; docs/manifest.md tells what each value means.

    Attributes:
        interpolation: of the resize.
        long_side: how the long side is rounded.
        crop_order: which of three crops is the first view, the second and the third.
        crop_offset: how half a pixel beside a centred crop is rounded.
    """

    interpolation: Interpolation = "bilinear"
    long_side: LongSide = "floor"
    crop_order: CropOrder = "along"
    crop_offset: CropOffset = "up"


@dataclass(frozen=True)
class WeightsKey:
    """A key under which a torch file has weights.

    Attributes:
        key: in the saved dict; empty where that dict is the weights, with nothing around them.
        backbone: the head there belongs to other classes, unless whoever asks says that it does not.
        averaged: the weights' moving average, which is read where nothing else is there.
    """

    key: str
    backbone: bool = False
    averaged: bool = False


@dataclass(frozen=True, kw_only=True)
class CheckpointNames:
    """How files of others name a family's weights.

    Attributes:
        own_part: finds where the network's own part of a name begins, behind what wrapped it.
        prefix: what the authors' training code has before every name; taken off without a remark.
        keys: under which weights are, the first that a file has.
        head: the last layer's weight and bias under the network's own names; their first axis is K.
        unused: names that such files have and the network does not use: left out, and said so.
        translate: the file's own part of names, without what is unused, to the network's names; what it does not know
            it leaves as it is, so that loading complains of it. None where the names are the network's.
    """

    own_part: re.Pattern[str]
    prefix: str
    keys: tuple[WeightsKey, ...]
    head: tuple[str, str] = ("head.weight", "head.bias")
    unused: re.Pattern[str] | None = None
    translate: Callable[[Mapping[str, Tensor]], dict[str, Tensor]] | None = None

    @property
    def head_prefix(self) -> str:
        """What all names of the head begin with."""
        return f"{self.head[0].rpartition('.')[0]}."


@dataclass(frozen=True)
class LabelOrder:
    """The order of the outputs of its authors' checkpoints.

    Attributes:
        name: the shipped label set that has it.
        proven: False where it is likely, and nobody has seen a trained checkpoint's answers in it.
    """

    name: str
    proven: bool = True


@dataclass(frozen=True)
class Float16Span:
    """Where a graph may be typed to float16: from the first operator of one kind up to the first of another."""

    first: str
    end: str


@dataclass(frozen=True)
class MotionOutputs:
    """Which two outputs (towards, away) tell each movement of the camera, for weights that begin with a guess.

    Attributes:
        across: the picture moves right, or left.
        down: the picture moves down, or up.
        growth: the picture grows, or shrinks.
        turn: the picture turns clockwise, or counterclockwise.
        count: K of the labels that these outputs belong to.
    """

    across: tuple[int, int]
    down: tuple[int, int]
    growth: tuple[int, int]
    turn: tuple[int, int]
    count: int


class Initialise(Protocol):
    """Gives a network, in place, the weights from which training starts: the same for the same seed."""

    def __call__(self, network: nn.Module, *, seed: int, waves: bool, outputs: MotionOutputs) -> None:
        """Raise `ConfigError` where the network has no room for them."""
        ...


@dataclass(frozen=True)
class Training:
    """What the training of camera motion needs of a family.

    Attributes:
        variant: the one that is trained where none is named.
        initialise: the start.
    """

    variant: str
    initialise: Initialise


def without_training_parts(network: nn.Module) -> nn.Module:
    """A copy in evaluation mode; families fold away what only training needs."""
    return copy.deepcopy(network).eval()


def _as_its_resolution(config: ModelConfig) -> int:
    return config.resolution


@dataclass(frozen=True, kw_only=True)
class Family:
    """One row of `registry.FAMILIES`.

    Attributes:
        name: in manifests.
        variants: name to numbers; names are unique over all families.
        build: numbers to a network in training mode, with torch's own initialisation.
        read_config: reads `ModelConfig.to_json`; raises `ConfigError`.
        pixels: normalisation, part of the graph.
        output: what the network returns.
        serving: how it is served by default.
        names: of its weights in others' files.
        layouts: further ways in which others name its weights.
        labels: order of the outputs of its authors' checkpoints; None where whoever exports one must say it.
        embedding: D, where the network returns logits and an embedding of the clip `[B, D]`; None where logits alone.
        for_inference: an equal copy of a network, for export.
        steps: where the output is per step, the first and the last place of a clip that each of its rows speaks for.
        average: what the mean over views is taken of.
        short_side: to what a video's short side is resized before the crop, in pixels.
        resize_and_crop: how that is done.
        residual_ends: ends of the names of weights that close a residual branch: random ones are drawn small.
        positions: parts of the names of position embeddings: drawn small, and not decayed in training.
        float16: what of the graph may be float16; None where nobody has looked.
        columns: columns of its own in the table of variants, each a header and what stands in it.
        training: None where it cannot be trained here.
    """

    name: str
    variants: Mapping[str, Variant[Any]]
    build: Callable[[Any], nn.Module]
    read_config: Callable[[dict[str, Any]], ModelConfig]
    pixels: Normalisation
    output: OutputKind
    serving: ServingDefaults
    names: CheckpointNames
    layouts: tuple[CheckpointNames, ...] = ()
    labels: LabelOrder | None = None
    embedding: Callable[[Any], int] | None = None
    for_inference: Callable[[Any], nn.Module] = without_training_parts
    steps: Callable[[Any], tuple[tuple[int, int], ...]] | None = None
    average: Average = "logits"
    short_side: Callable[[Any], int] = _as_its_resolution
    resize_and_crop: ResizeAndCrop = ResizeAndCrop()
    residual_ends: tuple[str, ...] = ()
    positions: tuple[str, ...] = ()
    float16: Float16Span | None = None
    columns: Sequence[tuple[str, Callable[[Any], str]]] = ()
    training: Training | None = None

    def __post_init__(self) -> None:
        """Raise ValueError where steps are told of no steps, or not told."""
        if (self.steps is not None) != (self.output is OutputKind.PER_STEP):
            raise ValueError(f"{self.name}: output {self.output.value} and steps do not go together")

    def serving_of(self, variant: str | None) -> ServingDefaults:
        """How a variant is served by default; the family's own way for None, and for one that is not in its table."""
        row = None if variant is None else self.variants.get(variant)
        return self.serving if row is None or row.serving is None else row.serving


@dataclass(frozen=True, kw_only=True)
class VideoModel:
    """A network with what it is: the form in which models go through the exporter.

    Attributes:
        family: its row of the table.
        variant: its name there.
        config: its numbers.
        network: normalised clips `[B, T, 3, H, W]` to logits `[B, T, K]`, `[B, S, K]` or `[B, K]`; to logits and an
            embedding `[B, D]` where its family says D.
        max_batch: largest batch of views that its memory allows.
    """

    family: Family
    variant: str
    config: ModelConfig
    network: nn.Module
    max_batch: int = MAX_BATCH

    @property
    def embedding(self) -> int | None:
        """D; None where the network returns logits alone."""
        return None if self.family.embedding is None else self.family.embedding(self.config)

    @property
    def steps(self) -> int | None:
        """Rows of logits along time; None for one answer a clip."""
        if self.family.steps is not None:
            return len(self.family.steps(self.config))
        return self.config.frames if self.family.output is OutputKind.PER_FRAME else None
