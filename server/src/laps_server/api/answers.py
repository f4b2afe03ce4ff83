"""Inside values to HTTP bodies, one function each."""

from __future__ import annotations

import base64

from laps_server.api import schemas
from laps_server.clips import MAX_TEMPORAL_VIEWS, SPATIAL_VIEWS, FrameScores
from laps_server.events import Classification, ReplayView
from laps_server.pipeline import Pipeline, ServedModel
from laps_server.settings import Settings

_MS = 1000.0


def classify_response(
    answer: Classification, *, request_id: str, upload_s: float, total_s: float
) -> schemas.ClassifyResponse:
    """The answer of ``POST /classify``; thumbnails and explain only where they were asked for."""
    return schemas.ClassifyResponse(
        request_id=request_id,
        model=schemas.ModelRef(name=answer.model, version=answer.version),
        predictions=[
            schemas.PredictionBody(label=item.label, index=item.index, score=item.score) for item in answer.predictions
        ],
        frames=_frames(answer.frames) if answer.frames is not None else None,
        views=schemas.ViewsBody(temporal=answer.grid.temporal, spatial=answer.grid.spatial, used=answer.views_used),
        video=schemas.VideoBody(
            container=answer.video.container,
            codec=answer.video.codec,
            width=answer.video.width,
            height=answer.video.height,
            fps=answer.video.fps,
            duration_s=answer.video.duration_s,
            frame_count=answer.video.frame_count,
            rotation=answer.video.rotation,
            sample_aspect_ratio=answer.video.sample_aspect_ratio,
        ),
        timings_ms=schemas.TimingsBody(
            upload=round(upload_s * _MS, 1),
            decode=round(answer.times.decode_s * _MS, 1),
            queue=round(answer.times.queue_s * _MS, 1),
            infer=round(answer.times.infer_s * _MS, 1),
            total=round(total_s * _MS, 1),
        ),
        warnings=list(answer.warnings),
        thumbnails=[
            schemas.ThumbnailBody(index=frame.index, time_s=frame.time_s, jpeg=base64.b64encode(jpeg).decode("ascii"))
            for frame, jpeg in zip(answer.sampled, answer.thumbnails, strict=True)
        ]
        if answer.thumbnails
        else None,
        explain=[_replay_view(view) for view in answer.replay] or None,
    )


def model_summary(pipeline: Pipeline, model: ServedModel) -> schemas.ModelSummary:
    """One entry of ``GET /models``."""
    manifest = model.files.manifest
    return schemas.ModelSummary(
        name=manifest.name,
        versions=[other.files.version for other in pipeline.models if other.files.name == manifest.name],
        default=manifest.name == pipeline.default_model,
        family=manifest.family,
        variant=manifest.variant,
        labels=manifest.labels.name,
        label_count=manifest.labels.count,
        default_views=manifest.default_views,
        untrained=manifest.untrained,
    )


def models_response(pipeline: Pipeline, settings: Settings) -> schemas.ModelsResponse:
    """The answer of ``GET /models``: each model once, as its highest version says."""
    names = dict.fromkeys(model.files.name for model in pipeline.models)
    return schemas.ModelsResponse(
        models=[model_summary(pipeline, pipeline.find(name)) for name in names], limits=_limits(settings)
    )


def model_response(pipeline: Pipeline, model: ServedModel, settings: Settings) -> schemas.ModelResponse:
    """The answer of ``GET /models/{name}``."""
    manifest = model.files.manifest
    clip, preprocess = manifest.clip, manifest.preprocess
    return schemas.ModelResponse(
        **model_summary(pipeline, model).model_dump(),
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
        ),
        output=manifest.output.kind,
        activation=manifest.activation,
        temperature=manifest.temperature,
        precisions={
            name: {"max_abs_diff": entry.parity.max_abs_diff, "tolerance": entry.parity.tolerance}
            for name, entry in manifest.precisions.items()
        },
        metrics=manifest.provenance.get("metrics") or {},
        provenance=manifest.provenance,
        limits=_limits(settings),
    )


def _frames(scores: FrameScores) -> schemas.FramesBody:
    return schemas.FramesBody(
        index=[frame.index for frame in scores.frames],
        time_s=[frame.time_s for frame in scores.frames],
        labels=list(scores.labels),
        scores=[[float(score) for score in row] for row in scores.scores],
    )


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
        max_requests=settings.max_requests,
        upload_idle_timeout_ms=int(settings.upload_idle_timeout_s * _MS),
        default_deadline_ms=int(settings.default_deadline_s * _MS),
        max_deadline_ms=int(settings.max_deadline_s * _MS),
    )
