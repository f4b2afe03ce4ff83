"""What a request asks for and what the pipeline tells of it: options, events, the whole answer. Plain frozen data."""

from __future__ import annotations

from dataclasses import dataclass

from laps_server.clips import CropBox, Float32Array, FrameScores, SampledFrame, ScoredLabel, VideoInfo, ViewGrid

DEFAULT_TOP_K = 5


@dataclass(frozen=True, slots=True)
class ClassifyOptions:
    """What a request asks for; None stands for the model's or the server's default.

    ``top_k`` of None is :data:`DEFAULT_TOP_K`, or all labels where there are fewer. ``deadline`` is a point of
    ``time.monotonic()``, so that it can have begun with the upload.
    """

    model: str | None = None
    version: int | None = None
    top_k: int | None = None
    views: ViewGrid | None = None
    frames: bool = True
    thumbnails: bool = False
    explain: bool = False
    deadline: float | None = None


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
class Decoded:
    """The video is decoded and its views are in line."""

    video: VideoInfo
    views_total: int
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Partial:
    """One more view is done; ``predictions`` rank the views so far."""

    views_done: int
    views_total: int
    predictions: tuple[ScoredLabel, ...]


@dataclass(frozen=True, slots=True)
class Classification:
    """The whole answer. ``logits`` ``[K]`` and ``view_logits`` ``[V, T, K]`` are before temperature."""

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


Event = Decoded | Partial | Classification
