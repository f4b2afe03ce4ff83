"""The bodies and parameters of the HTTP API, as the OpenAPI page shows them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from laps_server.engines.choices import Precision
from laps_server.preprocess_rules import CropOffset, CropOrder, LongSide
from laps_server.scores import Average
from laps_server.time_rows import RowKind
from laps_server.view_grid import SamplingRule

_AGREEMENT = "Share of the views whose own best label is the first of `predictions`, 0 to 1."
_MARGIN = "How far the first score is before the second; the first score where one label is ranked."
_SAMPLING = "Rule by which clips are placed in time: `laps_uniform` or `uniform_in_order` (docs/protocol.md)."


class ErrorBody(BaseModel):
    """What went wrong."""

    code: str = Field(description="Stable, for programs; docs/errors.md lists every code.")
    message: str = Field(description="What was wrong, for people.")
    hint: str | None = Field(description="What would be right.")
    request_id: str = Field(description="The `X-Request-ID` of the answer.")


class ErrorEnvelope(BaseModel):
    """Every answer that is not a success."""

    error: ErrorBody = Field(description="What went wrong.")


class ClassifyQuery(BaseModel):
    """Query of ``POST /classify``; an unknown parameter is an error, so that typing errors are found."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = Field(None, description="Model to use; the server's default if not given.")
    version: int | None = Field(None, ge=1, le=10**9, description="Its version; the highest served if not given.")
    top_k: int | None = Field(
        None, ge=1, le=10**6, description="Number of labels to return, up to all of the model's; 5 if not given."
    )
    views: str | None = Field(
        None, description="Clips along time x crops, as 5x3, 10x3 or 1x1; the model's default if not given."
    )
    frames: bool = Field(True, description="Return scores over time: of each frame, step or clip.")
    deadline_ms: int | None = Field(
        None,
        ge=1,
        le=10**9,
        description="Milliseconds from the request's arrival until 504 deadline_exceeded.",
    )
    thumbnails: bool = Field(
        False, description="Return small JPEGs of the sampled frames; with segments, of the middle one of each."
    )
    view_details: bool = Field(False, description="Return frames, pts and crop boxes of every view; not with segments.")
    explain: bool = Field(
        False, deprecated=True, description="Deprecated: `view_details` by its old name, answered in `explain`."
    )
    segments: str | None = Field(
        None,
        description="Classify the video in windows of this length: a number and s, m or h, as 10s, 1.5m or 1h; "
        "at least 1s and no more windows than the server's limit.",
    )
    labels: list[str] | None = Field(
        None,
        description="Rank these labels alone, as `labels=red,blue` or given several times; scores stay what they are "
        "among all labels.",
    )
    embedding: bool = Field(
        False, description="Return the views' mean embedding at length 1, of a model that gives one."
    )

    @property
    def detail_fields(self) -> frozenset[str]:
        """Fields of the answer that are to hold the details of views."""
        given = dict(self)  # a deprecated field that is read as an attribute warns
        return frozenset(name for name in ("view_details", "explain") if given[name])


class ModelRef(BaseModel):
    """Which model answered."""

    name: str = Field(description="As in `GET /models`.")
    version: int = Field(description="The one that answered.")
    engine: str = Field(description="What ran it: openvino, ort or triton.")
    precision: Precision = Field(description="What it was computed in.")


class PredictionBody(BaseModel):
    """One label of the ranking."""

    label: str = Field(description="As in the model's label list.")
    index: int = Field(description="Place in the model's label list, from 0.")
    score: float = Field(description="Probability after temperature and activation.")


class FramesBody(BaseModel):
    """Scores on the video's own time axis: a row for each frame, step or clip that the model scores."""

    kind: RowKind = Field(
        description="What a row is: a `frame`, a `step` of several frames, or a `clip`, for a model that scores clips "
        "as a whole."
    )
    index: list[int | None] = Field(
        description="Frame number from 0; null where the container does not give it, and for steps and clips."
    )
    time_s: list[float] = Field(description="Middle of each row, in seconds from the first frame; never falling.")
    from_s: list[float] = Field(description="Time of the row's first frame; of a frame its own.")
    to_s: list[float] = Field(description="Time of the row's last frame; of a frame its own.")
    labels: list[str] = Field(description="The labels of `predictions`, in the same order.")
    scores: list[list[float]] = Field(description="scores[i][j] is row i, label j.")


class ViewsBody(BaseModel):
    """Views asked for and used."""

    temporal: int = Field(description="Clips along time.")
    spatial: int = Field(description="Crops of each clip.")
    used: int = Field(description="Views that the scores are the mean of.")
    sampling: SamplingRule = Field(description=_SAMPLING)


class VideoBody(BaseModel):
    """What the file says of its video stream."""

    container: str = Field(description="Its kind, as mp4, matroska or avi.")
    codec: str = Field(description="As FFmpeg names it.")
    width: int = Field(description="Coded pixels, before rotation.")
    height: int = Field(description="Coded pixels, before rotation.")
    fps: float | None = Field(description="Frames a second on average; null where the file does not say.")
    duration_s: float | None = Field(description="Null where the file does not say.")
    frame_count: int | None = Field(description="As the file's header says; null where it does not.")
    rotation: int = Field(description="Degrees clockwise that frames are turned for display; applied.")
    sample_aspect_ratio: str | None = Field(description="Reported, not applied.")
    stream_index: int = Field(description="Which of the file's streams it is, sound counted too, from 0.")


class TimingsBody(BaseModel):
    """Milliseconds of each stage."""

    upload: float = Field(description="From the request's arrival to the last byte.")
    decode: float = Field(description="Decoding and sampling.")
    queue: float = Field(description="Until the first view ran.")
    infer: float = Field(description="This request's share of the batches.")
    total: float = Field(description="From the request's arrival.")


class ThumbnailBody(BaseModel):
    """One sampled frame."""

    index: int | None = Field(description="Frame number from 0; null where the container does not give it.")
    time_s: float = Field(description="Time of the frame from the first, in seconds.")
    jpeg: str = Field(description="The image, in Base64.")


class BoxBody(BaseModel):
    """A crop in the resized, upright frame, in pixels."""

    x: int = Field(description="Left edge.")
    y: int = Field(description="Upper edge.")
    width: int = Field(description="Of the crop.")
    height: int = Field(description="Of the crop.")


class ReplayFrameBody(BaseModel):
    """One place of a view's clip."""

    index: int | None = Field(description="Frame number from 0; null where the container does not give it.")
    pts: int = Field(description="In stream time base units, from the stream's first frame.")
    time_s: float = Field(description="Time of the frame from the first, in seconds.")
    box: BoxBody = Field(description="What the view shows of it.")


class ReplayViewBody(BaseModel):
    """Exactly what one view was made of."""

    temporal: int = Field(description="Which clip along time, from 0.")
    spatial: int = Field(description="Which crop of it, from 0.")
    frames: list[ReplayFrameBody] = Field(description="In the order that the model sees them; short videos repeat.")


class SegmentBody(BaseModel):
    """One window of the video, classified as a video of its own."""

    index: int = Field(description="Place of the window from 0; windows without a frame are left out.")
    start_s: float = Field(description="Where the window begins, in seconds from the video's first frame.")
    end_s: float = Field(description="Where the next window begins, or the video ends.")
    predictions: list[PredictionBody] = Field(description="Best first; of this segment alone.")
    agreement: float = Field(description=_AGREEMENT)
    margin: float = Field(description=_MARGIN)
    frames: FramesBody | None = Field(description="On the video's time axis; labels are this segment's own.")
    views: ViewsBody = Field(description="Of this segment.")
    thumbnails: list[ThumbnailBody] | None = Field(
        None, description="Where they were asked for, one: the middle one of the segment's sampled frames."
    )
    warnings: list[str] = Field(description="About this segment alone.")
    embedding: list[float] | None = Field(None, description="Of this segment, where it was asked for.")


class TimelineBody(BaseModel):
    """The overall labels over time."""

    labels: list[str] = Field(description="The labels of the overall `predictions`, in the same order.")
    start_s: list[float] = Field(description="Where each segment begins.")
    end_s: list[float] = Field(description="Where each segment ends.")
    scores: list[list[float]] = Field(description="scores[i][j] is segment i, label j.")


class ClassifyResponse(BaseModel):
    """The answer of ``POST /classify``. With ``segments`` the parts for each frame are in the segments."""

    request_id: str = Field(description="The `X-Request-ID` of the answer.")
    model: ModelRef = Field(description="Which model answered.")
    predictions: list[PredictionBody] = Field(description="Best first.")
    agreement: float = Field(description=_AGREEMENT)
    margin: float = Field(description=_MARGIN)
    frames: FramesBody | None = Field(description="Null with frames=false and with segments.")
    views: ViewsBody = Field(description="Views asked for and used; `used` counts those of all segments.")
    video: VideoBody = Field(description="What the file says of its video stream.")
    timings_ms: TimingsBody = Field(description="Milliseconds of each stage.")
    warnings: list[str] = Field(description="What to know of this answer, in words.")
    thumbnails: list[ThumbnailBody] | None = Field(
        None, description="Where they were asked for, one a sampled frame; not with segments."
    )
    view_details: list[ReplayViewBody] | None = Field(
        None, description="Where they were asked for, one entry a view; not with segments."
    )
    explain: list[ReplayViewBody] | None = Field(
        None, deprecated=True, description="Deprecated: what `view_details` holds, where `explain` was asked for."
    )
    segments: list[SegmentBody] | None = Field(None, description="In order of time, where they were asked for.")
    timeline: TimelineBody | None = Field(None, description="Where segments were asked for.")
    embedding: list[float] | None = Field(
        None, description="Where it was asked for: the mean over all views, at length 1."
    )


class GridBody(BaseModel):
    """Views asked for."""

    temporal: int = Field(description="Clips along time.")
    spatial: int = Field(description="Crops of each clip.")


class AcceptedEvent(BaseModel):
    """The upload is complete."""

    request_id: str = Field(description="The `X-Request-ID` of the answer.")
    model: ModelRef = Field(description="Which model answers.")
    views: GridBody = Field(description="Of the video, or of each segment.")
    upload_bytes: int = Field(description="Size of the video's file.")
    segment_s: float | None = Field(description="Length of a segment; null without segments.")


class DecodedEvent(BaseModel):
    """The video, or its first segment, is decoded."""

    video: VideoBody = Field(description="What the file says of its video stream.")
    views_total: int = Field(description="Of the whole video.")
    segments_total: int | None = Field(description="Segments that hold a frame; null without segments.")
    warnings: list[str] = Field(description="As far as they are known.")


class PartialEvent(BaseModel):
    """One more view is done; not with segments."""

    predictions: list[PredictionBody] = Field(description="Over the views so far.")
    views_done: int = Field(description="Views that the predictions are the mean of.")
    views_total: int = Field(description="Views that there will be.")


class SegmentEvent(SegmentBody):
    """One more segment is done; only with segments."""

    segments_done: int = Field(description="Segments that are done, this one among them.")
    segments_total: int = Field(
        description="Segments that hold a frame, as far as is known; fewer in a file that turns out damaged."
    )


class ErrorEvent(ErrorEnvelope):
    """The request failed; no event comes after it."""

    status: int = Field(description="What the HTTP status would have been.")
    retry_after_s: int | None = Field(description="Where waiting helps, how long.")


class LimitsBody(BaseModel):
    """What the server takes."""

    max_upload_bytes: int = Field(description="Largest upload.")
    max_pixels: int = Field(description="Most pixels of a frame.")
    max_temporal_views: int = Field(description="Most clips along time.")
    spatial_views: list[int] = Field(description="Numbers of crops that may be asked for.")
    max_segments: int = Field(description="Most windows that a video may be cut into.")
    max_requests: int = Field(description="Classify requests at once.")
    upload_idle_timeout_ms: int = Field(description="Silence after which an upload is given up.")
    default_deadline_ms: int = Field(description="Deadline of a request that names none.")
    max_deadline_ms: int = Field(description="Longest deadline that may be asked for.")


class CostBody(BaseModel):
    """What the model costs; of a video, times its views."""

    gmacs: float = Field(description="1e9 multiply-adds of one view.")
    parameters_m: float = Field(description="1e6 learned numbers.")


class ModelSummary(BaseModel):
    """One model in the list."""

    name: str = Field(description="What `model` of `POST /classify` takes.")
    versions: list[int] = Field(description="Served versions; the last that is no shadow answers where none is named.")
    default: bool = Field(description="Whether it answers a request that names no model.")
    family: str = Field(description="Kind of architecture, as `laps`.")
    variant: str = Field(description="Which of its family, by name.")
    labels: str = Field(description="Name of the label set.")
    label_count: int = Field(description="Number of its labels; the largest `top_k`.")
    default_views: str = Field(description="Clips along time x crops, as 5x3, where a request names none.")
    cost: CostBody | None = Field(description="Null where its exporter did not write it down.")
    untrained: bool = Field(description="Whether its weights are random, so that its labels mean nothing.")
    engine: str = Field(description="What runs it: openvino, ort or triton. It may change until the server is ready.")
    precision: Precision = Field(description="What it is computed in. It may change until the server is ready.")


class FailedVersionBody(BaseModel):
    """A version in the model repository that is not as it should be; what was served before still is."""

    name: str = Field(description="Of its model.")
    version: int = Field(description="Its number.")
    code: str = Field(description="Of the error; docs/errors.md lists every code.")
    message: str = Field(description="What is wrong, for people.")


class ReloadResponse(BaseModel):
    """The answer of ``POST /admin/reload``; versions as ``name/version``."""

    added: list[str] = Field(description="Versions that are served now and were not before.")
    retired: list[str] = Field(description="Versions that get no new request.")
    failed: list[FailedVersionBody] = Field(description="As in `GET /models`.")


class ModelsResponse(BaseModel):
    """The answer of ``GET /models``."""

    models: list[ModelSummary] = Field(description="Each model once, as its highest version says.")
    failed: list[FailedVersionBody] = Field(
        description="Versions of the model repository that could not be served, or that it does not hold any more."
    )
    limits: LimitsBody = Field(description="What the server takes.")


class InputBody(BaseModel):
    """What the model sees."""

    frames: int = Field(description="Frames of a clip.")
    stride: int = Field(description="Frames of the video from one frame of a clip to the next.")
    height: int = Field(description="Of a crop, in pixels.")
    width: int = Field(description="Of a crop, in pixels.")
    short_side: int = Field(description="Length that the short side of a frame is resized to, in pixels.")
    sampling: SamplingRule = Field(description=_SAMPLING)
    interpolation: str = Field(description="Of the resize.")
    long_side: LongSide = Field(description="How the resized long side becomes whole pixels.")
    crop_order: CropOrder = Field(description="Which of three crops is the first view, the second and the third.")
    crop_offset: CropOffset = Field(description="How half a pixel beside a centred crop is rounded.")


class EmbeddingInfo(BaseModel):
    """The vector that the model gives beside its scores."""

    size: int = Field(description="Numbers of it.")


class CandidateBody(BaseModel):
    """One way to run a model, and what a trial found of it."""

    engine: str = Field(description="openvino or ort.")
    precision: Precision = Field(description="What it computes in.")
    view_ms: float | None = Field(description="Milliseconds of one view, alone in its batch; null where it failed.")
    view_processor_ms: float | None = Field(description="The same, of all processors together.")
    largest_shift: float | None = Field(
        description="How far the score of a view's top label was from that in float32, at most; null where unknown."
    )
    labels_changed: int | None = Field(
        description="Views whose top label was another than in float32; null where nobody looked."
    )
    verdict: str = Field(description="Why it was taken, or was not.")


class ChoiceBody(BaseModel):
    """How engine and precision were chosen: by a trial on real views that ship with the server."""

    views: int = Field(description="Views that answers were compared on.")
    candidates: list[CandidateBody] = Field(description="The cheapest first.")


class ModelResponse(ModelSummary):
    """The answer of ``GET /models/{name}``: one version in full."""

    version: int = Field(description="The version that all below is about.")
    label_names: list[str] = Field(description="All labels in index order.")
    input: InputBody = Field(description="What the model sees.")
    output: str = Field(description="per_frame, per_step or per_clip logits.")
    steps: list[list[int]] | None = Field(
        description="Of per_step logits, the first and the last frame of a clip that each step speaks for, from 0."
    )
    activation: str = Field(description="softmax or sigmoid: what makes scores of logits.")
    temperature: float = Field(description="What logits are divided by before the activation.")
    average: Average = Field(description="What is averaged over views: logits, or probabilities of each view.")
    embedding: EmbeddingInfo | None = Field(description="Null where the model gives none.")
    max_batch: int | None = Field(
        description="Most views of a batch; null where the server's own limit is the only one."
    )
    precisions: dict[str, Any] = Field(
        description="The graph in each numeric precision, with `max_abs_diff`, how far its logits were from the "
        "trained model's when it was exported, `tolerance`, how far they might be (null where scores are held "
        "instead), and `engines`, how each engine's scores differed from float32's on real views."
    )
    choice: ChoiceBody | None = Field(
        description="Why `engine` and `precision` are what they are; null where the settings left no choice, and until "
        "the server is ready."
    )
    metrics: dict[str, Any] = Field(
        description="What was measured of the model, as its exporter wrote it down; empty where nothing was."
    )
    provenance: dict[str, Any] = Field(
        description="Where the weights come from, as the exporter wrote it down: recipe, data, hashes."
    )
    limits: LimitsBody = Field(description="What the server takes.")


class Health(BaseModel):
    """The answer of ``GET /livez`` and ``GET /readyz``."""

    status: str = Field(description="ok or unavailable.")
    reason: str | None = Field(None, description="Why not, where it is not ok.")
    detail: str | None = Field(None, description="What is wrong though requests are answered; of `/readyz`.")
