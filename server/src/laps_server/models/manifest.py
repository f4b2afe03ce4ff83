"""One model's manifest (``laps.json``): what a server must know of a model and cannot derive from its files.

The exporter writes it, this module reads it; docs/manifest.md is the contract between the two. Unknown keys are
refused: a newer exporter raises ``schema_version`` instead of hoping that an old server guesses right.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from laps_server.engines.choices import Precision as PrecisionName
from laps_server.errors import LapsError, ManifestInvalid
from laps_server.models import parity_limits
from laps_server.preprocess_rules import CropOffset, CropOrder, Interpolation, LongSide
from laps_server.scores import Activation, Average
from laps_server.view_grid import SEGMENT_FRAMES, SamplingRule, ViewGrid

SCHEMA_VERSIONS = (1, 2)  # in 1, no optional key but plan and provenance, and sampling is laps_uniform alone
FILE_NAME = "laps.json"
LABELS_FILE_NAME = "labels.txt"

_MAX_FRAMES = 1024
_MAX_SIDE = 4096
_MAX_BATCH = 1024
_MAX_EMBEDDING = 65536
_MIN_TEMPERATURE = 0.001
_MAX_TEMPERATURE = 1000.0
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class _Strict:
    """Mixin for the parts of a manifest: unknown keys are an error, types are not coerced."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class ModelOutput(_Strict):
    """The graph's logits: for every frame ``[B, T, K]``, for every step ``[B, S, K]`` or for the whole clip ``[B, K]``.

    ``steps`` has the first and the last place of the clip that each step speaks for; steps may overlap::

        T = 6, steps [0, 3] [2, 5]     places  0 1 2 3 4 5
                                       step 0  [-----]
                                       step 1      [-----]
    """

    name: str
    kind: Literal["per_frame", "per_step", "per_clip"]
    steps: tuple[tuple[int, int], ...] | None = None

    def __post_init__(self) -> None:
        if (self.steps is not None) != (self.kind == "per_step"):
            raise ValueError(f"kind {self.kind} {'needs' if self.steps is None else 'has no'} steps")
        if self.steps is None:
            return
        if not self.steps or any(not 0 <= first <= last for first, last in self.steps):
            raise ValueError("steps must be pairs of a first place of the clip and a last one that is not before it")
        if any(a[0] > b[0] or a[1] > b[1] or a == b for a, b in pairwise(self.steps)):
            raise ValueError("steps must follow each other in time")


@dataclass(frozen=True, slots=True)
class Embedding(_Strict):
    """A second output of the graph: one float32 vector of ``size`` numbers a clip, ``[B, D]``."""

    name: str
    size: int

    def __post_init__(self) -> None:
        if not 1 <= self.size <= _MAX_EMBEDDING:
            raise ValueError(f"size {self.size} must be 1 to {_MAX_EMBEDDING}")


@dataclass(frozen=True, slots=True)
class ClipInput(_Strict):
    """One input of the graph: ``frames`` pictures ``stride`` frames apart, uint8 ``[B, T, H, W, 3]`` RGB."""

    name: str
    dtype: Literal["uint8"]
    layout: Literal["BTHWC"]
    frames: int
    height: int
    width: int
    stride: int

    def __post_init__(self) -> None:
        if not (1 <= self.frames <= _MAX_FRAMES and 1 <= self.stride <= _MAX_FRAMES):
            raise ValueError(f"frames {self.frames} and stride {self.stride} must be 1 to {_MAX_FRAMES}")
        if not (1 <= self.height <= _MAX_SIDE and 1 <= self.width <= _MAX_SIDE):
            raise ValueError(f"height {self.height} and width {self.width} must be 1 to {_MAX_SIDE}")


@dataclass(frozen=True, slots=True)
class Preprocess(_Strict):
    """How a decoded frame becomes the graph's input; ``mean`` and ``std`` are in the graph, kept for the record."""

    short_side: int
    crop_height: int
    crop_width: int
    interpolation: Interpolation
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    long_side: LongSide = "floor"
    crop_order: CropOrder = "along"
    crop_offset: CropOffset = "up"

    def __post_init__(self) -> None:
        if self.short_side > _MAX_SIDE:
            raise ValueError(f"short_side {self.short_side} must be at most {_MAX_SIDE}")
        if max(self.crop_height, self.crop_width) > self.short_side:
            raise ValueError(
                f"crop {self.crop_height} x {self.crop_width} is larger than the short side {self.short_side}"
            )


@dataclass(frozen=True, slots=True)
class Cost(_Strict):
    """What the model costs: 1e9 multiply-adds of one view, and 1e6 learned numbers."""

    gmacs: float
    parameters_m: float

    def __post_init__(self) -> None:
        if min(self.gmacs, self.parameters_m) < 0:
            raise ValueError(f"gmacs {self.gmacs} and parameters_m {self.parameters_m} must be at least 0")


@dataclass(frozen=True, slots=True)
class ManifestLabels(_Strict):
    """The label set: its name, how many labels, and the hash of ``labels.txt`` beside the version folders."""

    name: str
    count: int
    sha256: str

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"count {self.count} must be at least 1")


@dataclass(frozen=True, slots=True)
class Parity(_Strict):
    """How far a file's logits were from the trained model's at export; no tolerance where scores are held instead."""

    max_abs_diff: float
    tolerance: float | None
    batch_sizes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class EngineParity(_Strict):
    """What one engine answered with this file beside float32, on real views: it holds for this instruction set alone.

    Attributes:
        engine, instruction_set: what computed, as ``openvino`` on ``amx_int8``.
        views, labels: how many views there were, and how many different top labels they had in float32.
        agreement: share of the views whose top label stayed.
        mean_shift, p99_shift: of the score of a view's top label in float32, absolute: mean and 99th percentile.
        holds: whether the exporter found that this is near enough.
    """

    engine: Literal["ort", "openvino"]
    instruction_set: str
    views: int
    labels: int
    agreement: float
    mean_shift: float
    p99_shift: float
    holds: bool

    def __post_init__(self) -> None:
        if not self.instruction_set:
            raise ValueError("instruction_set must name one")
        if min(self.views, self.labels) < 1:
            raise ValueError(f"views {self.views} and labels {self.labels} must be at least 1")
        shares = (self.agreement, self.mean_shift, self.p99_shift)
        if not all(0 <= share <= 1 for share in shares):
            raise ValueError(f"agreement, mean_shift and p99_shift must be 0 to 1, not {shares}")
        limits = parity_limits
        if self.holds and (
            self.views < limits.MIN_VIEWS
            or self.agreement < limits.MIN_AGREEMENT
            or self.mean_shift > limits.MAX_MEAN_SHIFT
            or self.p99_shift > limits.MAX_P99_SHIFT
        ):
            raise ValueError(f"holds is true on {self.engine}, but its own figures do not hold")


@dataclass(frozen=True, slots=True)
class Precision(_Strict):
    """One file of the graph, in one numeric precision, and how engines fared with it."""

    file: str
    parity: Parity
    engines: tuple[EngineParity, ...] = ()

    def __post_init__(self) -> None:
        if len({(record.engine, record.instruction_set) for record in self.engines}) < len(self.engines):
            raise ValueError("engines has two records of one engine and instruction set")

    def record(self, engine: str, instruction_set: str | None) -> EngineParity | None:
        """How that engine fared on that instruction set; None where nobody measured it."""
        of = (engine, instruction_set)
        return next((record for record in self.engines if (record.engine, record.instruction_set) == of), None)


@dataclass(frozen=True, slots=True)
class TensorrtPlan(_Strict):
    """What a TensorRT plan was built with and for: it runs there alone, and only Triton runs it."""

    tensorrt: str
    gpu: str
    compute_capability: str
    batch_sizes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Manifest(_Strict):
    """A whole manifest; see docs/manifest.md for every key."""

    schema_version: Literal[1, 2]
    name: str
    family: str
    variant: str
    output: ModelOutput
    inputs: tuple[ClipInput, ...]
    sampling: SamplingRule
    preprocess: Preprocess
    activation: Activation
    temperature: float
    default_views: str
    labels: ManifestLabels
    precisions: dict[PrecisionName, Precision]
    opset: int
    files: dict[str, str]
    untrained: bool
    provenance: dict[str, Any] = field(default_factory=dict)
    plan: TensorrtPlan | None = None
    average: Average = "logits"
    max_batch: int | None = None
    embedding: Embedding | None = None
    cost: Cost | None = None

    def __post_init__(self) -> None:
        if not _MIN_TEMPERATURE <= self.temperature <= _MAX_TEMPERATURE:
            raise ValueError(f"temperature {self.temperature} must be {_MIN_TEMPERATURE} to {_MAX_TEMPERATURE}")
        if self.max_batch is not None and not 1 <= self.max_batch <= _MAX_BATCH:
            raise ValueError(f"max_batch {self.max_batch} must be 1 to {_MAX_BATCH}")
        if not isinstance(self.provenance.get("metrics", {}), dict):
            raise ValueError("provenance.metrics must be an object")
        self._check_input()
        self._check_outputs()
        self._check_files()
        self.grid  # noqa: B018 - parsed here so that a bad value is found when the manifest is read
        if self.schema_version == 1 and self._of_schema_2:
            raise ValueError(f"{self._of_schema_2[0]} needs schema_version 2")

    def _check_input(self) -> None:
        if len(self.inputs) != 1:
            raise ValueError(f"{len(self.inputs)} inputs; this server feeds models of exactly one")
        clip, preprocess = self.clip, self.preprocess
        if (clip.height, clip.width) != (preprocess.crop_height, preprocess.crop_width):
            raise ValueError(
                f"input {clip.height} x {clip.width} differs from crop "
                f"{preprocess.crop_height} x {preprocess.crop_width}"
            )

        if self.sampling == "segments_of_5" and clip.frames % SEGMENT_FRAMES:
            raise ValueError(f"sampling segments_of_5 needs a multiple of {SEGMENT_FRAMES} frames, not {clip.frames}")

    def _check_outputs(self) -> None:
        output, frames = self.output, self.clip.frames
        if output.steps is not None and output.steps[-1][1] >= frames:
            raise ValueError(f"output.steps end at place {output.steps[-1][1]} of a clip of {frames} frames")
        if self.embedding is not None and self.embedding.name == output.name:
            raise ValueError(f"output and embedding are both named {output.name!r}")

    def _check_files(self) -> None:
        if self.plan is None and "float32" not in self.precisions:
            raise ValueError("precisions must hold float32")
        if self.plan is not None and len(self.precisions) != 1:
            raise ValueError("a plan has one precision")
        for precision in self.precisions.values():
            if precision.file not in self.files:
                raise ValueError(f"files has no hash of {precision.file!r}")
            fewest = min(parity_limits.MIN_LABELS, self.labels.count)
            if any(record.holds and record.labels < fewest for record in precision.engines):
                raise ValueError(f"holds needs views of at least {fewest} labels")
        for name in self.files:
            if not _FILE_NAME.fullmatch(name):
                raise ValueError(f"file {name[:100]!r} must lie in the version's own folder")

    @property
    def _of_schema_2(self) -> list[str]:
        """What an old server would get wrong."""
        preprocess = self.preprocess
        found = {
            f"sampling {self.sampling}": self.sampling != "laps_uniform",
            f"output.kind {self.output.kind}": self.output.kind == "per_step",
            f"preprocess.interpolation {preprocess.interpolation}": preprocess.interpolation != "bilinear",
            f"preprocess.long_side {preprocess.long_side}": preprocess.long_side != "floor",
            f"preprocess.crop_order {preprocess.crop_order}": preprocess.crop_order != "along",
            f"preprocess.crop_offset {preprocess.crop_offset}": preprocess.crop_offset != "up",
            f"average {self.average}": self.average != "logits",
            "max_batch": self.max_batch is not None,
            "embedding": self.embedding is not None,
            "cost": self.cost is not None,
            "precisions.engines": any(precision.engines for precision in self.precisions.values()),
        }
        return [what for what, is_there in found.items() if is_there]

    @property
    def clip_shape(self) -> tuple[int, int, int, int]:
        """``(T, H, W, 3)`` of one view."""
        return (self.clip.frames, self.clip.height, self.clip.width, 3)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Of one view's logits: ``(T, K)`` of frames, ``(S, K)`` of steps, or ``(K,)`` of the clip."""
        classes = self.labels.count
        if self.output.kind == "per_clip":
            return (classes,)
        return (self.clip.frames if self.output.steps is None else len(self.output.steps), classes)

    @property
    def embedding_size(self) -> int | None:
        """D of the embedding, None where there is none."""
        return None if self.embedding is None else self.embedding.size

    @property
    def outputs(self) -> dict[str, tuple[int, ...]]:
        """The graph's outputs by name, with their shapes but for the batch: logits first, then the embedding if any."""
        second = {} if self.embedding is None else {self.embedding.name: (self.embedding.size,)}
        return {self.output.name: self.output_shape, **second}

    @property
    def clip(self) -> ClipInput:
        """The graph's only input."""
        return self.inputs[0]

    @property
    def grid(self) -> ViewGrid:
        """The views that a request gets when it names none."""
        try:
            return ViewGrid.parse(self.default_views)
        except LapsError as exc:
            raise ValueError(f"default_views: {exc.message}") from exc

    @property
    def graph_precision(self) -> PrecisionName:
        """What the graph is written in: float32, or what a plan was built in."""
        return "float32" if self.plan is None else next(iter(self.precisions))

    @property
    def graph_file(self) -> str:
        """Name of the float32 graph in the version's folder, or of the plan."""
        return self.precisions[self.graph_precision].file

    def file_of(self, precision: PrecisionName) -> str:
        """Name of the file that an engine of that precision runs: its own, or the float32 graph, which it lowers."""
        own = self.precisions.get(precision)
        return self.graph_file if own is None else own.file


_ADAPTER = TypeAdapter(Manifest)


def parse_manifest(text: bytes, *, where: str) -> Manifest:
    """Read a manifest from JSON bytes.

    Args:
        text: the file's content.
        where: what to call it in an error, as ``camera-motion/1/laps.json``.

    Raises:
        ManifestInvalid: naming the first key that is wrong and counting the rest.
    """
    try:
        return _ADAPTER.validate_json(text)
    except ValidationError as exc:
        known = " and ".join(map(str, SCHEMA_VERSIONS))
        first, *rest = exc.errors(include_url=False, include_input=False)
        key = ".".join(str(part) for part in first["loc"]) or "the document"
        more = f" (and {len(rest)} more)" if rest else ""
        raise ManifestInvalid(
            f"{where}: {key}: {first['msg']}{more}",
            hint=f"this server reads schema_version {known}; export again with a matching laps-export",
        ) from exc
