"""The bodies and parameters of the HTTP API, as the OpenAPI page shows them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class ErrorBody(BaseModel):
    """What went wrong."""

    code: str = Field(description="Stable, for programs; docs/errors.md lists every code.")
    message: str = Field(description="What was wrong, for people.")
    hint: str | None = Field(description="What would be right.")
    request_id: str


class ErrorEnvelope(BaseModel):
    """Every answer that is not a success."""

    error: ErrorBody


class ClassifyQuery(BaseModel):
    """Query of ``POST /classify``; an unknown parameter is an error, so that a typing slip is seen."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = Field(None, description="Model to use; the server's default if not given.")
    version: int | None = Field(None, ge=1, le=10**9, description="Its version; the highest served if not given.")
    top_k: int | None = Field(
        None, ge=1, le=10**6, description="Number of labels to return, up to all of the model's; 5 if not given."
    )
    views: str | None = Field(
        None, description="Clips along time x crops, as 5x3, 10x3 or 1x1; the model's default if not given."
    )
    frames: bool = Field(True, description="Return per-frame scores.")
    deadline_ms: int | None = Field(
        None,
        ge=1,
        le=10**9,
        description="Milliseconds from the request's arrival after which it is 504 deadline_exceeded.",
    )
    thumbnails: bool = Field(
        False, description="Return small JPEGs of the sampled frames; with segments, of the middle one of each."
    )
    explain: bool = Field(False, description="Return frames, pts and crop boxes of every view; not with segments.")
    segments: str | None = Field(
        None,
        description="Classify window by window of this length, a number and s, m or h, as 10s, 1.5m or 1h; "
        "at least 1s and no more windows than the server's limit.",
    )


class ModelRef(BaseModel):
    """Which model answered."""

    name: str
    version: int


class PredictionBody(BaseModel):
    """One label of the ranking."""

    label: str
    index: int = Field(description="Place in the model's label list, from 0.")
    score: float = Field(description="Probability after temperature and activation.")


class FramesBody(BaseModel):
    """Per-frame scores on the video's own time axis."""

    index: list[int | None] = Field(description="Frame number from 0; null where the container does not give it.")
    time_s: list[float] = Field(description="Time of each frame from the first, in seconds.")
    labels: list[str] = Field(description="The labels of `predictions`, in the same order.")
    scores: list[list[float]] = Field(description="scores[i][j] is frame i, label j.")


class ViewsBody(BaseModel):
    """Views asked for and used."""

    temporal: int
    spatial: int
    used: int


class VideoBody(BaseModel):
    """What the file says of its video stream."""

    container: str
    codec: str
    width: int = Field(description="Coded pixels, before rotation.")
    height: int
    fps: float | None
    duration_s: float | None
    frame_count: int | None
    rotation: int = Field(description="Degrees clockwise that the picture is turned for display; applied.")
    sample_aspect_ratio: str | None = Field(description="Reported, not applied.")


class TimingsBody(BaseModel):
    """Milliseconds of each stage; `queue` until the first view ran, `infer` this request's share of the calls."""

    upload: float
    decode: float
    queue: float
    infer: float
    total: float


class ThumbnailBody(BaseModel):
    """One sampled frame."""

    index: int | None
    time_s: float
    jpeg: str = Field(description="The picture, in Base64.")


class BoxBody(BaseModel):
    """A crop in the resized, upright frame, in pixels."""

    x: int
    y: int
    width: int
    height: int


class ReplayFrameBody(BaseModel):
    """One place of a view's clip."""

    index: int | None
    pts: int = Field(description="In stream time base units, from the stream's first frame.")
    time_s: float
    box: BoxBody


class ReplayViewBody(BaseModel):
    """Exactly what one view was made of."""

    temporal: int
    spatial: int
    frames: list[ReplayFrameBody]


class SegmentBody(BaseModel):
    """One window of the video, classified as a video of its own."""

    index: int = Field(description="Place of the window from 0; windows without a frame are left out.")
    start_s: float
    end_s: float = Field(description="Where the next window begins, or the video ends.")
    predictions: list[PredictionBody] = Field(description="Best first; of this segment alone.")
    frames: FramesBody | None = Field(description="On the video's time axis; labels are this segment's own.")
    views: ViewsBody
    thumbnails: list[ThumbnailBody] | None = Field(
        None, description="Where they were asked for, one: the middle one of the segment's sampled frames."
    )
    warnings: list[str] = Field(description="About this segment alone.")


class TimelineBody(BaseModel):
    """The overall labels over time."""

    labels: list[str] = Field(description="The labels of the overall `predictions`, in the same order.")
    start_s: list[float]
    end_s: list[float]
    scores: list[list[float]] = Field(description="scores[i][j] is segment i, label j.")


class ClassifyResponse(BaseModel):
    """The answer of ``POST /classify``. With ``segments`` the parts for each frame are in the segments."""

    request_id: str = Field(description="The `X-Request-ID` of the answer.")
    model: ModelRef
    predictions: list[PredictionBody] = Field(description="Best first.")
    frames: FramesBody | None = Field(
        description="Null with frames=false, with segments, and of a model that scores whole clips."
    )
    views: ViewsBody
    video: VideoBody
    timings_ms: TimingsBody
    warnings: list[str] = Field(description="What to know of this answer, in words.")
    thumbnails: list[ThumbnailBody] | None = Field(
        None, description="Where they were asked for, one a sampled frame; not with segments."
    )
    explain: list[ReplayViewBody] | None = Field(None, description="Where it was asked for, one entry a view.")
    segments: list[SegmentBody] | None = Field(None, description="In order of time, where they were asked for.")
    timeline: TimelineBody | None = Field(None, description="Where segments were asked for.")


class GridBody(BaseModel):
    """Views asked for."""

    temporal: int
    spatial: int


class AcceptedEvent(BaseModel):
    """The upload is complete."""

    request_id: str
    model: ModelRef
    views: GridBody = Field(description="Of the video, or of each segment.")
    upload_bytes: int
    segment_s: float | None = Field(description="Length of a segment; null without segments.")


class DecodedEvent(BaseModel):
    """The video, or its first segment, is decoded."""

    video: VideoBody
    views_total: int = Field(description="Of the whole video.")
    segments_total: int | None = Field(description="Segments that hold a frame; null without segments.")
    warnings: list[str] = Field(description="As far as they are known.")


class PartialEvent(BaseModel):
    """One more view is done; not with segments."""

    predictions: list[PredictionBody] = Field(description="Over the views so far.")
    views_done: int
    views_total: int


class SegmentEvent(SegmentBody):
    """One more segment is done; only with segments."""

    segments_done: int
    segments_total: int


class ErrorEvent(ErrorEnvelope):
    """The request failed; no event comes after it."""

    status: int = Field(description="What the HTTP status would have been.")
    retry_after_s: int | None = Field(description="Where waiting helps, how long.")


class LimitsBody(BaseModel):
    """What the server takes."""

    max_upload_bytes: int
    max_pixels: int
    max_temporal_views: int
    spatial_views: list[int]
    max_segments: int = Field(description="Most windows that a video may be cut into.")
    max_requests: int
    upload_idle_timeout_ms: int = Field(description="Silence after which an upload is given up.")
    default_deadline_ms: int
    max_deadline_ms: int


class ModelSummary(BaseModel):
    """One model in the list."""

    name: str
    versions: list[int] = Field(description="Served versions; the last answers where none is named.")
    default: bool = Field(description="Whether it answers a request that names no model.")
    family: str
    variant: str
    labels: str = Field(description="Name of the label set.")
    label_count: int
    default_views: str
    untrained: bool


class ModelsResponse(BaseModel):
    """The answer of ``GET /models``."""

    models: list[ModelSummary]
    limits: LimitsBody


class InputBody(BaseModel):
    """What the model sees."""

    frames: int
    stride: int
    height: int
    width: int
    short_side: int
    sampling: str
    interpolation: str


class ModelResponse(ModelSummary):
    """The answer of ``GET /models/{name}``: one version in full."""

    version: int
    label_names: list[str] = Field(description="All labels in index order.")
    input: InputBody
    output: str = Field(description="per_frame or per_clip logits.")
    activation: str
    temperature: float
    precisions: dict[str, Any]
    metrics: dict[str, Any]
    provenance: dict[str, Any]
    limits: LimitsBody


class Health(BaseModel):
    """The answer of ``GET /livez`` and ``GET /readyz``."""

    status: str
    reason: str | None = None
