"""Inside values to HTTP bodies, one function each."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Set
from dataclasses import asdict
from typing import Any

from laps_server.api import schemas
from laps_server.arrays import Float32Array
from laps_server.engines.trial import Choice
from laps_server.events import (
    Classification,
    Decoded,
    Partial,
    ReplayView,
    SegmentAnswer,
    SegmentDone,
    Thumbnail,
    Timeline,
)
from laps_server.job import Job
from laps_server.repository_watch import FailedVersion
from laps_server.scores import ScoredLabel
from laps_server.served_models import ServedModel, ServedModels
from laps_server.settings import Settings
from laps_server.time_rows import FrameScores
from laps_server.video_info import VideoInfo
from laps_server.view_grid import MAX_TEMPORAL_VIEWS, SPATIAL_VIEWS

_MS = 1000.0
_DETAIL_FIELDS = frozenset({"view_details"})


def classify_response(
    answer: Classification, *, request_id: str, total_s: float, detail_fields: Set[str] = _DETAIL_FIELDS
) -> schemas.ClassifyResponse:
    """The answer of ``POST /classify``; thumbnails, details of views and segments only where they were asked for.

    Args:
        answer: what the job came to.
        request_id: by which the client knows it.
        total_s: since the request arrived.
        detail_fields: under which names the details of views were asked for: ``view_details``, ``explain`` or both.
    """
    details = [_replay_view(view) for view in answer.view_details] or None
    return schemas.ClassifyResponse(
        request_id=request_id,
        model=schemas.ModelRef(
            name=answer.model, version=answer.version, engine=answer.engine, precision=answer.precision
        ),
        predictions=_predictions(answer.predictions),
        agreement=answer.agreement,
        margin=answer.margin,
        frames=_frames(answer.frames) if answer.frames is not None else None,
        views=_views(answer),
        video=_video(answer.video),
        timings_ms=schemas.TimingsBody(
            upload=round(answer.times.upload_s * _MS, 1),
            decode=round(answer.times.decode_s * _MS, 1),
            queue=round(answer.times.queue_s * _MS, 1),
            infer=round(answer.times.infer_s * _MS, 1),
            total=round(total_s * _MS, 1),
        ),
        warnings=list(answer.warnings),
        thumbnails=_thumbnails(answer.thumbnails),
        view_details=details if "view_details" in detail_fields else None,
        explain=details if "explain" in detail_fields else None,
        segments=[schemas.SegmentBody(**_segment(segment)) for segment in answer.segments]
        if answer.segments is not None
        else None,
        timeline=_timeline(answer.timeline) if answer.timeline is not None else None,
        embedding=_numbers(answer.embedding),
    )


def accepted_event(job: Job, *, upload_bytes: int) -> schemas.AcceptedEvent:
    """What is known of a request once its upload is complete."""
    length = job.options.segments
    info = job.model.engine_info
    return schemas.AcceptedEvent(
        request_id=job.request_id,
        model=schemas.ModelRef(
            name=job.model.name, version=job.model.version, engine=info.name, precision=info.precision
        ),
        views=schemas.GridBody(temporal=job.grid.temporal, spatial=job.grid.spatial),
        upload_bytes=upload_bytes,
        segment_s=None if length is None else float(length.seconds),
    )


def decoded_event(event: Decoded) -> schemas.DecodedEvent:
    """The video's facts."""
    return schemas.DecodedEvent(
        video=_video(event.video),
        views_total=event.views_total,
        segments_total=event.segments_total,
        warnings=list(event.warnings),
    )


def partial_event(event: Partial) -> schemas.PartialEvent:
    """The ranking so far."""
    return schemas.PartialEvent(
        predictions=_predictions(event.predictions), views_done=event.views_done, views_total=event.views_total
    )


def segment_event(event: SegmentDone) -> schemas.SegmentEvent:
    """One segment's answer, as it is in the whole one too."""
    return schemas.SegmentEvent(
        **_segment(event.segment), segments_done=event.segments_done, segments_total=event.segments_total
    )


def model_summary(served: ServedModels, model: ServedModel) -> schemas.ModelSummary:
    """One entry of ``GET /models``."""
    manifest = model.files.manifest
    return schemas.ModelSummary(
        name=manifest.name,
        versions=[other.files.version for other in served.versions if other.files.name == manifest.name],
        default=manifest.name == served.default_model,
        family=manifest.family,
        variant=manifest.variant,
        labels=manifest.labels.name,
        label_count=manifest.labels.count,
        default_views=manifest.default_views,
        cost=None if manifest.cost is None else schemas.CostBody(**asdict(manifest.cost)),
        untrained=manifest.untrained,
        engine=model.engine_info.name,
        precision=model.engine_info.precision,
    )


def models_response(
    served: ServedModels, failed: Iterable[FailedVersion], settings: Settings
) -> schemas.ModelsResponse:
    """The answer of ``GET /models``: each model once, as its highest version says."""
    names = dict.fromkeys(model.files.name for model in served.versions)
    return schemas.ModelsResponse(
        models=[model_summary(served, served.find(name)) for name in names],
        failed=failed_bodies(failed),
        limits=_limits(settings),
    )


def failed_bodies(failed: Iterable[FailedVersion]) -> list[schemas.FailedVersionBody]:
    """Each of them."""
    return [schemas.FailedVersionBody(**asdict(item)) for item in failed]


def model_response(served: ServedModels, model: ServedModel, settings: Settings) -> schemas.ModelResponse:
    """The answer of ``GET /models/{name}``."""
    manifest = model.files.manifest
    clip, preprocess = manifest.clip, manifest.preprocess
    return schemas.ModelResponse(
        **model_summary(served, model).model_dump(),
        version=model.files.version,
        label_names=list(model.files.labels),
        input=schemas.InputBody(
            frames=clip.frames,
            stride=clip.stride,
            height=clip.height,
            width=clip.width,
            short_side=preprocess.short_side,
            sampling=manifest.sampling,
            interpolation=preprocess.interpolation,
            long_side=preprocess.long_side,
            crop_order=preprocess.crop_order,
            crop_offset=preprocess.crop_offset,
        ),
        output=manifest.output.kind,
        steps=None if manifest.output.steps is None else [[*step] for step in manifest.output.steps],
        activation=manifest.activation,
        temperature=manifest.temperature,
        average=manifest.average,
        embedding=None if manifest.embedding is None else schemas.EmbeddingInfo(size=manifest.embedding.size),
        max_batch=manifest.max_batch,
        precisions={
            name: {
                "max_abs_diff": entry.parity.max_abs_diff,
                "tolerance": entry.parity.tolerance,
                "engines": [asdict(record) for record in entry.engines],
            }
            for name, entry in manifest.precisions.items()
        },
        choice=None if model.engine_info.choice is None else choice_body(model.engine_info.choice),
        metrics=manifest.provenance.get("metrics") or {},
        provenance=manifest.provenance,
        limits=_limits(settings),
    )


def choice_body(choice: Choice) -> schemas.ChoiceBody:
    """What a trial found, the cheapest candidate first."""
    return schemas.ChoiceBody(
        views=choice.views,
        candidates=[
            schemas.CandidateBody(
                engine=item.candidate.engine,
                precision=item.candidate.precision,
                view_ms=None if item.timing is None else round(item.timing.ms, 2),
                view_processor_ms=None if item.timing is None else round(item.timing.processor_ms, 2),
                largest_shift=None if item.shift is None else round(item.shift.largest, 5),
                labels_changed=None if item.shift is None else item.shift.labels_changed,
                verdict=choice.verdict(item),
            )
            for item in choice.measured
        ],
    )


def _predictions(ranking: Iterable[ScoredLabel]) -> list[schemas.PredictionBody]:
    return [schemas.PredictionBody(label=item.label, index=item.index, score=item.score) for item in ranking]


def _views(answer: Classification | SegmentAnswer) -> schemas.ViewsBody:
    return schemas.ViewsBody(
        temporal=answer.grid.temporal,
        spatial=answer.grid.spatial,
        used=answer.views_used,
        sampling=answer.sampling,
    )


def _video(video: VideoInfo) -> schemas.VideoBody:
    return schemas.VideoBody(
        container=video.container,
        codec=video.codec,
        width=video.width,
        height=video.height,
        fps=video.fps,
        duration_s=video.duration_s,
        frame_count=video.frame_count,
        rotation=video.rotation,
        sample_aspect_ratio=video.sample_aspect_ratio,
        stream_index=video.stream_index,
    )


def _segment(segment: SegmentAnswer) -> dict[str, Any]:
    """The fields of a :class:`~laps_server.api.schemas.SegmentBody`."""
    return {
        "index": segment.index,
        "start_s": segment.start_s,
        "end_s": segment.end_s,
        "predictions": _predictions(segment.predictions),
        "agreement": segment.agreement,
        "margin": segment.margin,
        "frames": _frames(segment.frames) if segment.frames is not None else None,
        "views": _views(segment),
        "thumbnails": _thumbnails(segment.thumbnails),
        "warnings": list(segment.warnings),
        "embedding": _numbers(segment.embedding),
    }


def _timeline(timeline: Timeline) -> schemas.TimelineBody:
    return schemas.TimelineBody(
        labels=list(timeline.labels),
        start_s=list(timeline.start_s),
        end_s=list(timeline.end_s),
        scores=timeline.scores.tolist(),
    )


def _thumbnails(thumbnails: Iterable[Thumbnail]) -> list[schemas.ThumbnailBody] | None:
    bodies = [
        schemas.ThumbnailBody(
            index=item.frame.index,
            time_s=item.frame.time_s,
            jpeg=base64.b64encode(item.jpeg).decode("ascii"),
        )
        for item in thumbnails
    ]
    return bodies or None


def _frames(scores: FrameScores) -> schemas.FramesBody:
    return schemas.FramesBody(
        kind=scores.kind,
        index=[row.index for row in scores.rows],
        time_s=[row.time_s for row in scores.rows],
        from_s=[row.first.time_s for row in scores.rows],
        to_s=[row.last.time_s for row in scores.rows],
        labels=list(scores.labels),
        scores=scores.scores.tolist(),
    )


def _numbers(vector: Float32Array | None) -> list[float] | None:
    return None if vector is None else [float(value) for value in vector]


def _replay_view(view: ReplayView) -> schemas.ReplayViewBody:
    return schemas.ReplayViewBody(
        temporal=view.temporal,
        spatial=view.spatial,
        frames=[
            schemas.ReplayFrameBody(
                index=frame.index,
                pts=frame.pts,
                time_s=frame.time_s,
                box=schemas.BoxBody(x=box.x, y=box.y, width=box.width, height=box.height),
            )
            for frame, box in zip(view.frames, view.boxes, strict=True)
        ],
    )


def _limits(settings: Settings) -> schemas.LimitsBody:
    return schemas.LimitsBody(
        max_upload_bytes=settings.max_upload_bytes,
        max_pixels=settings.max_pixels,
        max_temporal_views=MAX_TEMPORAL_VIEWS,
        spatial_views=list(SPATIAL_VIEWS),
        max_segments=settings.max_segments,
        max_requests=settings.max_requests,
        upload_idle_timeout_ms=int(settings.upload_idle_timeout_s * _MS),
        default_deadline_ms=int(settings.default_deadline_s * _MS),
        max_deadline_ms=int(settings.max_deadline_s * _MS),
    )
