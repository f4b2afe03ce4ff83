"""What a job yields: events on the way, the whole answer last. Plain frozen data."""

from __future__ import annotations

from dataclasses import dataclass, replace

from laps_server.arrays import Float32Array
from laps_server.engines.choices import Precision
from laps_server.observe import StageTimes
from laps_server.sampled_frame import CropBox, SampledFrame
from laps_server.scores import ScoredLabel
from laps_server.time_rows import FrameScores
from laps_server.video_info import VideoInfo
from laps_server.view_grid import SamplingRule, ViewGrid


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

    ``frames`` and ``sampled`` are on the video's own time axis. ``agreement`` is the share of views whose own best
    label is the first of ``predictions``, ``margin`` how far its score is before the second's. Unless asked for,
    ``view_details`` is empty and ``embedding`` None: ``[D]``, the views' mean at length 1.
    """

    index: int
    start_s: float
    end_s: float
    predictions: tuple[ScoredLabel, ...]
    agreement: float
    margin: float
    frames: FrameScores | None
    grid: ViewGrid
    views_used: int
    sampling: SamplingRule
    warnings: tuple[str, ...]
    sampled: tuple[SampledFrame, ...]
    thumbnails: tuple[Thumbnail, ...]
    view_details: tuple[ReplayView, ...] = ()
    embedding: Float32Array | None = None


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
    """The first views of the video, or of the first of its ``segments_total`` segments, are decoded."""

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
    """The whole answer; ``agreement``, ``margin`` and ``embedding`` as in a segment, over all views.

    Of a video in segments, ``segments`` and ``timeline`` are set, and what belongs to one segment is found there.
    """

    model: str
    version: int
    engine: str
    precision: Precision
    predictions: tuple[ScoredLabel, ...]
    agreement: float
    margin: float
    frames: FrameScores | None
    grid: ViewGrid
    views_used: int
    sampling: SamplingRule
    video: VideoInfo
    times: StageTimes
    warnings: tuple[str, ...]
    sampled: tuple[SampledFrame, ...]
    thumbnails: tuple[Thumbnail, ...]
    view_details: tuple[ReplayView, ...]
    embedding: Float32Array | None = None
    segments: tuple[SegmentAnswer, ...] | None = None
    timeline: Timeline | None = None

    def as_one(self) -> Classification:
        """The same of a video that is one segment, with what that segment holds in its own place."""
        (only,) = self.segments or ()
        return replace(
            self,
            predictions=only.predictions,
            agreement=only.agreement,
            margin=only.margin,
            frames=only.frames,
            sampled=only.sampled,
            thumbnails=only.thumbnails,
            view_details=only.view_details,
            embedding=only.embedding,
            segments=None,
            timeline=None,
        )


Event = Decoded | Partial | SegmentDone | Classification
