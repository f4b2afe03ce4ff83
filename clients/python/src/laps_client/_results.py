"""What a server answers, as frozen dataclasses whose fields are named as in its JSON.

``_parsing.py`` reads an answer by these fields. Each must be there with its type. Only fields that an older server does
not know have a default, and keys of a newer server are left out. A test holds the fields against the server's OpenAPI
document.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from laps_client._deprecated import warn_renamed
from laps_client._parsing import to_json

if TYPE_CHECKING:
    import pandas as pd


class Result:
    """Base of what the client's methods return."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """The server's JSON again: plain dicts, lists and numbers, images as base64."""
        document: dict[str, Any] = to_json(self)
        return document


@dataclass(frozen=True, slots=True)
class ModelRef:
    """Which model answered, by which engine and in which precision; older servers do not tell of those."""

    name: str
    version: int
    engine: str | None = None
    precision: str | None = None


@dataclass(frozen=True, slots=True)
class Prediction:
    """One label of the ranking; ``index`` is its place in the model's label list."""

    label: str
    index: int
    score: float


@dataclass(frozen=True, slots=True)
class FrameScores:
    """Scores over time: ``scores[i][j]`` is row i, label j of ``labels``.

    ``kind`` is what a row is: a ``frame``, a ``step`` of several frames or a whole ``clip``, by the model. It goes from
    ``from_s`` to ``to_s``, and ``time_s`` is its middle. Older servers score frames alone, and leave both None.
    ``index`` holds frame numbers, or None for steps and clips, and where the container does not give them.
    """

    index: tuple[int | None, ...]
    time_s: tuple[float, ...]
    labels: tuple[str, ...]
    scores: tuple[tuple[float, ...], ...]
    kind: str = "frame"
    from_s: tuple[float, ...] | None = None
    to_s: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if not len(self.index) == len(self.time_s) == len(self.scores):
            raise ValueError("index, time_s and scores differ in length")
        if any(times is not None and len(times) != len(self.time_s) for times in (self.from_s, self.to_s)):
            raise ValueError("from_s, to_s and time_s differ in length")
        _check_rows(self.scores, self.labels)

    def curve(self, label: str) -> tuple[float, ...]:
        """One label's score at each of ``time_s``.

        Raises:
            ValueError: the label is not among ``labels``.
        """
        return _column(self.scores, self.labels, label)

    def to_pandas(self) -> pd.DataFrame:
        """A row a frame, step or clip, by ``time_s``; a column a label. Needs the extra ``pandas``."""
        from laps_client._tables import frame_scores_table  # noqa: PLC0415 - pandas is an extra

        return frame_scores_table(self)


@dataclass(frozen=True, slots=True)
class Timeline:
    """Scores over segments: ``scores[i][j]`` is segment i, ``start_s[i]`` to ``end_s[i]``, label j of ``labels``."""

    labels: tuple[str, ...]
    start_s: tuple[float, ...]
    end_s: tuple[float, ...]
    scores: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        if not len(self.start_s) == len(self.end_s) == len(self.scores):
            raise ValueError("start_s, end_s and scores differ in length")
        _check_rows(self.scores, self.labels)

    def curve(self, label: str) -> tuple[float, ...]:
        """One label's score in each segment.

        Raises:
            ValueError: the label is not among ``labels``.
        """
        return _column(self.scores, self.labels, label)

    def to_pandas(self) -> pd.DataFrame:
        """A row a segment, by its interval of time; a column a label. Needs the extra ``pandas``."""
        from laps_client._tables import timeline_table  # noqa: PLC0415 - pandas is an extra

        return timeline_table(self)


def _check_rows(scores: tuple[tuple[float, ...], ...], labels: tuple[str, ...]) -> None:
    if any(len(row) != len(labels) for row in scores):
        raise ValueError("a row of scores differs from labels in length")


def _column(scores: tuple[tuple[float, ...], ...], labels: tuple[str, ...], label: str) -> tuple[float, ...]:
    if label not in labels:
        raise ValueError(f"no scores of {label!r}; there are {', '.join(labels)}")
    column = labels.index(label)
    return tuple(row[column] for row in scores)


@dataclass(frozen=True, slots=True)
class Views:
    """Clips along time, crops of each, and how many of these views were used.

    ``sampling`` names the rule by which clips are placed in time; None from servers that do not name it.
    """

    temporal: int
    spatial: int
    used: int
    sampling: str | None = None


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What the file says of its video stream; ``rotation`` is applied, ``sample_aspect_ratio`` is not.

    ``stream_index`` is None from servers that do not name it.
    """

    container: str
    codec: str
    width: int
    height: int
    fps: float | None
    duration_s: float | None
    frame_count: int | None
    rotation: int
    sample_aspect_ratio: str | None
    stream_index: int | None = None


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
    """One frame of a view's clip; ``pts`` is in time base units of the stream."""

    index: int | None
    pts: int
    time_s: float
    box: Box


@dataclass(frozen=True, slots=True)
class ReplayView:
    """What one view was made of: its place among the views, its frames and their crops."""

    temporal: int
    spatial: int
    frames: tuple[ReplayFrame, ...]


@dataclass(frozen=True, slots=True)
class SegmentAnswer:
    """The answer for one segment, which is classified as if it were a video; ``frames`` has its own top labels.

    ``thumbnails`` holds the middle one of its sampled frames, where thumbnails were asked for. ``agreement``,
    ``margin`` and ``embedding`` are as in a :class:`Classification`, of this segment alone.
    """

    index: int
    start_s: float
    end_s: float
    predictions: tuple[Prediction, ...]
    frames: FrameScores | None
    views: Views
    thumbnails: tuple[Thumbnail, ...] | None
    warnings: tuple[str, ...]
    agreement: float | None = field(default=None, kw_only=True)
    margin: float | None = field(default=None, kw_only=True)
    embedding: tuple[float, ...] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        _check_some(self.predictions)

    @property
    def top(self) -> Prediction:
        """The best prediction."""
        return self.predictions[0]


@dataclass(frozen=True, slots=True)
class Classification(Result):
    """The answer for one video; ``predictions`` has the best first.

    ``agreement`` is the share of views whose own best label is that first one, ``margin`` how far its score is before
    the second's; None from older servers. ``embedding`` is there if it was asked for: the views' mean, at length 1.
    Where segments were asked for, ``segments`` and ``timeline`` are set, and ``frames``, ``thumbnails`` and
    ``view_details`` of the whole video are None.
    """

    OLD_KEYS: ClassVar[Mapping[str, str]] = {"view_details": "explain"}

    request_id: str
    model: ModelRef
    predictions: tuple[Prediction, ...]
    frames: FrameScores | None
    views: Views
    video: VideoInfo
    timings_ms: TimingsMs
    warnings: tuple[str, ...]
    thumbnails: tuple[Thumbnail, ...] | None
    segments: tuple[SegmentAnswer, ...] | None = None
    timeline: Timeline | None = None
    view_details: tuple[ReplayView, ...] | None = None
    agreement: float | None = None
    margin: float | None = None
    embedding: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        _check_some(self.predictions)

    @property
    def top(self) -> Prediction:
        """The best prediction."""
        return self.predictions[0]

    @property
    def explain(self) -> tuple[ReplayView, ...] | None:
        """The old name of ``view_details``."""
        warn_renamed("Classification.explain", "view_details", stacklevel=2)
        return self.view_details

    def to_dict(self) -> dict[str, Any]:
        """The server's JSON again; ``view_details`` is there under its old name ``explain`` too."""
        document = Result.to_dict(self)  # not super(), which a dataclass with slots loses
        place = list(document).index("segments")
        items = [*document.items()]
        return dict([*items[:place], ("explain", document["view_details"]), *items[place:]])

    def to_pandas(self) -> pd.DataFrame:
        """A row a prediction, best first. Needs the extra ``pandas``."""
        from laps_client._tables import predictions_table  # noqa: PLC0415 - pandas is an extra

        return predictions_table(self)


def _check_some(predictions: tuple[Prediction, ...]) -> None:
    if not predictions:
        raise ValueError("predictions is empty")


@dataclass(frozen=True, slots=True)
class Limits:
    """What the server accepts; ``max_segments`` is None from servers without segments."""

    max_upload_bytes: int
    max_pixels: int
    max_temporal_views: int
    spatial_views: tuple[int, ...]
    max_requests: int
    upload_idle_timeout_ms: int
    default_deadline_ms: int
    max_deadline_ms: int
    max_segments: int | None = None


@dataclass(frozen=True, slots=True)
class ModelCost:
    """What a model costs: 1e9 multiply-adds of one view, and 1e6 learned numbers."""

    gmacs: float
    parameters_m: float


@dataclass(frozen=True, slots=True)
class ModelSummary:
    """One model of the list; the last of ``versions`` answers where none is named.

    ``cost`` is None where the model's exporter did not write it down. ``engine`` is what runs it and ``precision`` what
    it is computed in, of servers that tell.
    """

    name: str
    versions: tuple[int, ...]
    default: bool
    family: str
    variant: str
    labels: str
    label_count: int
    default_views: str
    untrained: bool
    cost: ModelCost | None = field(default=None, kw_only=True)
    engine: str | None = field(default=None, kw_only=True)
    precision: str | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class FailedVersion:
    """A version in the server's model repository that it could not serve, and why."""

    name: str
    version: int
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Models(Result):
    """The served models, over which it iterates, and the server's limits.

    ``failed`` holds what the server could not take from its model repository; None from servers that do not tell.
    """

    models: tuple[ModelSummary, ...]
    limits: Limits
    failed: tuple[FailedVersion, ...] | None = None

    def __iter__(self) -> Iterator[ModelSummary]:
        return iter(self.models)

    def __len__(self) -> int:
        return len(self.models)


@dataclass(frozen=True, slots=True)
class ModelInput:
    """What the model sees; the last three are None from servers that do not tell them."""

    frames: int
    stride: int
    height: int
    width: int
    short_side: int
    sampling: str
    interpolation: str
    long_side: str | None = None
    crop_order: str | None = None
    crop_offset: str | None = None


@dataclass(frozen=True, slots=True)
class EmbeddingInfo:
    """The vector that a model gives beside its scores: ``size`` numbers."""

    size: int


@dataclass(frozen=True, slots=True)
class EngineCandidate:
    """One way to run a model, and what the server's trial found of it.

    ``largest_shift`` is how far the score of a view's top label was from that in float32, at most, and
    ``labels_changed`` counts the views with another top label; both are None where nobody looked.
    """

    engine: str
    precision: str
    view_ms: float | None
    view_processor_ms: float | None
    largest_shift: float | None
    labels_changed: int | None
    verdict: str


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """How a model's engine and precision were chosen, on ``views`` real views; the cheapest candidate first."""

    views: int
    candidates: tuple[EngineCandidate, ...]


@dataclass(frozen=True, slots=True)
class ModelInfo(ModelSummary, Result):
    """One version of a model in full; ``label_names`` are in index order.

    ``output`` is ``per_frame``, ``per_step`` (``steps`` has the first and the last frame of each) or ``per_clip``;
    ``average`` is what is averaged over views, ``logits`` or ``probabilities``. ``embedding`` is None where the model
    gives none, ``max_batch`` where the server's own limit is the only one, and ``choice`` where the server's settings
    left none.
    """

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
    steps: tuple[tuple[int, ...], ...] | None = None
    average: str | None = None
    embedding: EmbeddingInfo | None = None
    max_batch: int | None = None
    choice: EngineChoice | None = None


@dataclass(frozen=True, slots=True)
class Readiness(Result):
    """Whether the server takes requests now, and if not, why; as a bool it is ``ready``."""

    ready: bool
    reason: str | None

    def __bool__(self) -> bool:
        return self.ready
