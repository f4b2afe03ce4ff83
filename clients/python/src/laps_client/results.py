"""What a server answers, as frozen dataclasses whose fields are named as in its JSON.

Parsing follows the fields (``parsing.py``): each must be in the answer with its type, and keys that are no field
(of a newer server) are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from laps_client.parsing import to_json


class Result:
    """Base of what the client's methods return."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """The server's JSON again: plain dicts, lists and numbers, pictures as base64."""
        document: dict[str, Any] = to_json(self)
        return document


@dataclass(frozen=True, slots=True)
class ModelRef:
    """Which model answered."""

    name: str
    version: int


@dataclass(frozen=True, slots=True)
class Prediction:
    """One label of the ranking; ``index`` is its place in the model's label list."""

    label: str
    index: int
    score: float


@dataclass(frozen=True, slots=True)
class FrameScores:
    """Scores over time: ``scores[i][j]`` is frame i, label j of ``labels``.

    ``index`` holds frame numbers, or None where the container does not give them.
    """

    index: tuple[int | None, ...]
    time_s: tuple[float, ...]
    labels: tuple[str, ...]
    scores: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        if not len(self.index) == len(self.time_s) == len(self.scores):
            raise ValueError("index, time_s and scores differ in length")
        if any(len(row) != len(self.labels) for row in self.scores):
            raise ValueError("a row of scores differs from labels in length")

    def curve(self, label: str) -> tuple[float, ...]:
        """One label's score at each of ``time_s``.

        Raises:
            ValueError: the label is not among ``labels``.
        """
        if label not in self.labels:
            raise ValueError(f"no scores of {label!r}; there are {', '.join(self.labels)}")
        column = self.labels.index(label)
        return tuple(row[column] for row in self.scores)


@dataclass(frozen=True, slots=True)
class Views:
    """Clips along time, crops of each, and how many of their product were used."""

    temporal: int
    spatial: int
    used: int


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What the file says of its video stream; ``rotation`` is applied, ``sample_aspect_ratio`` is not."""

    container: str
    codec: str
    width: int
    height: int
    fps: float | None
    duration_s: float | None
    frame_count: int | None
    rotation: int
    sample_aspect_ratio: str | None


@dataclass(frozen=True, slots=True)
class TimingsMs:
    """Milliseconds of each stage on the server."""

    upload: float
    decode: float
    queue: float
    infer: float
    total: float


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """One sampled frame as a small JPEG."""

    index: int | None
    time_s: float
    jpeg: bytes


@dataclass(frozen=True, slots=True)
class Box:
    """A crop in the resized, upright frame, in pixels."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class ReplayFrame:
    """One place of a view's clip; ``pts`` is in time base units of the stream."""

    index: int | None
    pts: int
    time_s: float
    box: Box


@dataclass(frozen=True, slots=True)
class ReplayView:
    """Exactly what one view was made of."""

    temporal: int
    spatial: int
    frames: tuple[ReplayFrame, ...]


@dataclass(frozen=True, slots=True)
class Classification(Result):
    """The answer for one video; ``predictions`` has the best first."""

    request_id: str
    model: ModelRef
    predictions: tuple[Prediction, ...]
    frames: FrameScores | None
    views: Views
    video: VideoInfo
    timings_ms: TimingsMs
    warnings: tuple[str, ...]
    thumbnails: tuple[Thumbnail, ...] | None
    explain: tuple[ReplayView, ...] | None

    def __post_init__(self) -> None:
        if not self.predictions:
            raise ValueError("predictions is empty")

    @property
    def top(self) -> Prediction:
        """The best prediction."""
        return self.predictions[0]


@dataclass(frozen=True, slots=True)
class Limits:
    """What the server takes."""

    max_upload_bytes: int
    max_pixels: int
    max_temporal_views: int
    spatial_views: tuple[int, ...]
    max_requests: int
    upload_idle_timeout_ms: int
    default_deadline_ms: int
    max_deadline_ms: int


@dataclass(frozen=True, slots=True)
class ModelSummary:
    """One model of the list; the last of ``versions`` answers where none is named."""

    name: str
    versions: tuple[int, ...]
    default: bool
    family: str
    variant: str
    labels: str
    label_count: int
    default_views: str
    untrained: bool


@dataclass(frozen=True, slots=True)
class Models(Result):
    """The served models, over which it iterates, and the server's limits."""

    models: tuple[ModelSummary, ...]
    limits: Limits

    def __iter__(self) -> Iterator[ModelSummary]:
        return iter(self.models)

    def __len__(self) -> int:
        return len(self.models)


@dataclass(frozen=True, slots=True)
class ModelInput:
    """What the model sees."""

    frames: int
    stride: int
    height: int
    width: int
    short_side: int
    sampling: str
    interpolation: str


@dataclass(frozen=True, slots=True)
class ModelInfo(ModelSummary, Result):
    """One version of a model in full; ``label_names`` are in index order."""

    version: int
    label_names: tuple[str, ...]
    input: ModelInput
    output: str
    activation: str
    temperature: float
    precisions: Mapping[str, Any]
    metrics: Mapping[str, Any]
    provenance: Mapping[str, Any]
    limits: Limits


@dataclass(frozen=True, slots=True)
class Readiness(Result):
    """Whether requests should be sent there, and if not, why; true or false as itself."""

    ready: bool
    reason: str | None

    def __bool__(self) -> bool:
        return self.ready
