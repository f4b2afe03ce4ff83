"""What a request asks for and what the pipeline tells of it: options, events, the whole answer. Plain frozen data."""

from __future__ import annotations

from dataclasses import dataclass

from laps_server.clips import (
    CropBox,
    Float32Array,
    FrameScores,
    SampledFrame,
    ScoredLabel,
    SegmentLength,
    VideoInfo,
    ViewGrid,
)

DEFAULT_TOP_K = 5


@dataclass(frozen=True, slots=True)
class ClassifyOptions:
    """What a request asks for; None stands for the model's or the server's default.

    ``top_k`` of None is :data:`DEFAULT_TOP_K`, or all labels where there are fewer. ``deadline`` is a point of
    ``time.monotonic()``, so that it can have begun with the upload. ``segments`` asks for the video window by window.
    """

    model: str | None = None
    version: int | None = None
    top_k: int | None = None
    views: ViewGrid | None = None
    frames: bool = True
    thumbnails: bool = False
    explain: bool = False
    deadline: float | None = None
    segments: SegmentLength | None = None


@dataclass(frozen=True, slots=True)
class StageTimes:
    """Seconds of each stage: ``queue`` until the first view ran, ``infer`` this request's share of the calls."""

    decode_s: float
    queue_s: float
    infer_s: float


@dataclass(frozen=True, slots=True)
class ReplayView:
    """Exactly what one view was made of: its place in the grid, its frames and its crop of each."""

    temporal: int
    spatial: int
    frames: tuple[SampledFrame, ...]
    boxes: tuple[CropBox, ...]


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A sampled frame as a small JPEG."""

    frame: SampledFrame
    jpeg: bytes


@dataclass(frozen=True, slots=True)
class SegmentAnswer:
    """What one segment shows, from ``start_s`` to ``end_s`` of the video.

    ``frames`` and ``sampled`` are on the video's own time axis. ``thumbnail`` is the middle one of ``sampled`` as a
    JPEG: one stands for a segment, and one for each frame of a long video would be more than anybody can be sent.
    """

    index: int
    start_s: float
    end_s: float
    predictions: tuple[ScoredLabel, ...]
    frames: FrameScores | None
    grid: ViewGrid
    views_used: int
    warnings: tuple[str, ...]
    sampled: tuple[SampledFrame, ...]
    thumbnail: Thumbnail | None


@dataclass(frozen=True, slots=True)
class Timeline:
    """The overall labels over time: ``scores`` ``[S, len(labels)]``, one row for each segment."""

    labels: tuple[str, ...]
    start_s: tuple[float, ...]
    end_s: tuple[float, ...]
    scores: Float32Array

    def __post_init__(self) -> None:
        if not len(self.start_s) == len(self.end_s) == len(self.scores) or self.scores.shape[1:] != (len(self.labels),):
            raise ValueError(f"scores {self.scores.shape} for {len(self.start_s)} segments, {len(self.labels)} labels")


@dataclass(frozen=True, slots=True)
class Decoded:
    """The video, or the first of its ``segments_total`` segments, is decoded and its views are in line."""

    video: VideoInfo
    views_total: int
    segments_total: int | None
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Partial:
    """One more view is done; ``predictions`` rank the views so far."""

    views_done: int
    views_total: int
    predictions: tuple[ScoredLabel, ...]


@dataclass(frozen=True, slots=True)
class SegmentDone:
    """One more segment is done."""

    segments_done: int
    segments_total: int
    segment: SegmentAnswer


@dataclass(frozen=True, slots=True)
class Classification:
    """The whole answer. ``logits`` ``[K]`` and ``view_logits`` ``[V, T, K]`` are before temperature.

    Of a video in segments, ``segments`` and ``timeline`` are set, and no view's logits are kept.
    """

    model: str
    version: int
    predictions: tuple[ScoredLabel, ...]
    frames: FrameScores | None
    grid: ViewGrid
    views_used: int
    video: VideoInfo
    times: StageTimes
    warnings: tuple[str, ...]
    sampled: tuple[SampledFrame, ...]
    thumbnails: tuple[bytes, ...]
    replay: tuple[ReplayView, ...]
    logits: Float32Array
    view_logits: Float32Array
    segments: tuple[SegmentAnswer, ...] | None = None
    timeline: Timeline | None = None


Event = Decoded | Partial | SegmentDone | Classification
