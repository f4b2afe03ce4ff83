"""From the logits of a request's views to what it is answered: rankings, frame scores, replay, segments over time.

No I/O and nothing awaited: with many labels, frames and segments it takes a while, and runs in a thread.
"""

from __future__ import annotations

import numpy as np

from laps_server.aggregate import Float64Array, clip_logits, frame_logits, probabilities, rank, video_logits
from laps_server.clips import Float32Array, FrameBatch, FrameScores, ScoredLabel, VideoInfo, ViewGrid
from laps_server.errors import BadParameter, VideoCorrupt
from laps_server.events import (
    DEFAULT_TOP_K,
    Classification,
    ClassifyOptions,
    ReplayView,
    SegmentAnswer,
    StageTimes,
    Thumbnail,
    Timeline,
)
from laps_server.repository import ModelFiles
from laps_server.video.extract import Extraction, SegmentExtraction
from laps_server.video.preprocess import view_boxes

# An answer grows with the number of segments, and is held whole. About what its parts take as JSON:
MAX_ANSWER_BYTES = 128 * 2**20
SCORE_BYTES = 22
PREDICTION_BYTES = 64
THUMBNAIL_BYTES = 6 * 2**10


def model_warnings(model: ModelFiles) -> tuple[str, ...]:
    """What a client should know of the model whatever the video."""
    if model.manifest.untrained:
        return (f"model {model.name!r} is untrained: its weights are random and its labels mean nothing",)
    return ()


def ranking(model: ModelFiles, logits: Float64Array, top_k: int | None) -> tuple[ScoredLabel, ...]:
    """The best labels by logits ``[K]``, as many as asked for."""
    manifest = model.manifest
    scores = probabilities(logits, activation=manifest.activation, temperature=manifest.temperature)
    return rank(scores, model.labels, top_k or DEFAULT_TOP_K)


def whole_answer(
    *,
    model: ModelFiles,
    grid: ViewGrid,
    extraction: Extraction,
    options: ClassifyOptions,
    view_logits: Float32Array,
    warnings: tuple[str, ...],
    times: StageTimes,
) -> Classification:
    """The answer for a video whose views have the logits ``[V, T, K]`` or ``[V, K]``."""
    logits = video_logits(view_logits)
    predictions = ranking(model, logits, options.top_k)
    return Classification(
        model=model.name,
        version=model.version,
        predictions=predictions,
        frames=_frame_scores(model, extraction.batch, view_logits, predictions, options),
        grid=grid,
        views_used=len(view_logits),
        video=extraction.info,
        times=times,
        warnings=warnings,
        sampled=extraction.batch.frames,
        thumbnails=extraction.thumbnails,
        replay=_replay(extraction.batch) if options.explain else (),
        logits=logits.astype(np.float32),
        view_logits=view_logits,
    )


class SegmentSum:
    """What the segments of one video add up to."""

    def __init__(self, model: ModelFiles, grid: ViewGrid, options: ClassifyOptions) -> None:
        self._model = model
        self._grid = grid
        self._options = options
        self._answers: list[SegmentAnswer] = []
        self._segment_logits: list[Float32Array] = []  # of each segment [K]
        self._sum = np.zeros(len(model.labels))  # [K], over views
        self._views = 0
        self._video: VideoInfo | None = None

    def check_size(self, segments: int) -> None:
        """Refuse what would make an answer of giant size, before it is worked for.

        Raises:
            BadParameter: with ways to a smaller one.
        """
        options, manifest = self._options, self._model.manifest
        labels = options.top_k or DEFAULT_TOP_K
        frames = self._grid.temporal * manifest.clip.frames
        segment_bytes = labels * PREDICTION_BYTES
        segment_bytes += frames * labels * SCORE_BYTES if _wants_frames(self._model, options) else 0
        segment_bytes += THUMBNAIL_BYTES if options.thumbnails else 0
        if segments * segment_bytes > MAX_ANSWER_BYTES:
            raise BadParameter(
                f"the answer for {segments} segments would be too large",
                hint="ask for longer segments, a smaller top_k, fewer views, frames=false, or no thumbnails",
            )

    def add(self, found: SegmentExtraction, view_logits: Float32Array) -> SegmentAnswer:
        """The answer for a segment whose views have the logits ``[V, T, K]`` or ``[V, K]``."""
        model, options, extraction = self._model, self._options, found.extraction
        logits = video_logits(view_logits)
        predictions = ranking(model, logits, options.top_k)
        answer = SegmentAnswer(
            index=found.segment.index,
            start_s=found.segment.start_s,
            end_s=found.segment.end_s,
            predictions=predictions,
            frames=_frame_scores(model, extraction.batch, view_logits, predictions, options),
            grid=self._grid,
            views_used=len(view_logits),
            warnings=extraction.warnings,
            sampled=extraction.batch.frames,
            thumbnail=_middle_thumbnail(extraction),
        )
        self._answers.append(answer)
        self._segment_logits.append(logits.astype(np.float32))
        self._sum += clip_logits(view_logits).sum(axis=0)
        self._views += len(view_logits)
        self._video = extraction.info
        return answer

    def answer(self, times: StageTimes, warnings: tuple[str, ...]) -> Classification:
        """The answer for the whole video: the mean over all views of all segments, and every segment's own.

        Raises:
            VideoCorrupt: there was no segment.
        """
        if self._video is None:
            raise VideoCorrupt("not one frame of the video could be decoded", hint="was the whole file sent?")
        logits = self._sum / self._views
        predictions = ranking(self._model, logits, self._options.top_k)
        return Classification(
            model=self._model.name,
            version=self._model.version,
            predictions=predictions,
            frames=None,
            grid=self._grid,
            views_used=self._views,
            video=self._video,
            times=times,
            warnings=warnings,
            sampled=(),
            thumbnails=(),
            replay=(),
            logits=logits.astype(np.float32),
            view_logits=np.empty((0, len(logits)), np.float32),
            segments=tuple(self._answers),
            timeline=self._timeline(predictions),
        )

    def _timeline(self, predictions: tuple[ScoredLabel, ...]) -> Timeline:
        manifest = self._model.manifest
        columns = [prediction.index for prediction in predictions]
        rows = [
            probabilities(logits, activation=manifest.activation, temperature=manifest.temperature)[columns]
            for logits in self._segment_logits
        ]
        return Timeline(
            labels=tuple(prediction.label for prediction in predictions),
            start_s=tuple(answer.start_s for answer in self._answers),
            end_s=tuple(answer.end_s for answer in self._answers),
            scores=np.stack(rows).astype(np.float32),  # [S, labels]
        )


def _wants_frames(model: ModelFiles, options: ClassifyOptions) -> bool:
    return options.frames and model.manifest.output.kind == "per_frame"


def _frame_scores(
    model: ModelFiles,
    batch: FrameBatch,
    view_logits: Float32Array,
    predictions: tuple[ScoredLabel, ...],
    options: ClassifyOptions,
) -> FrameScores | None:
    if not _wants_frames(model, options):
        return None
    manifest = model.manifest
    logits = frame_logits(
        view_logits, batch.clip_frames, spatial_views=batch.grid.spatial, frame_count=len(batch.frames)
    )
    scores = probabilities(logits, activation=manifest.activation, temperature=manifest.temperature)  # [F, K]
    columns = [prediction.index for prediction in predictions]
    return FrameScores(
        frames=batch.frames,
        labels=tuple(prediction.label for prediction in predictions),
        scores=scores[:, columns].astype(np.float32),
    )


def _middle_thumbnail(extraction: Extraction) -> Thumbnail | None:
    if not extraction.thumbnails:
        return None
    middle = len(extraction.thumbnails) // 2
    return Thumbnail(extraction.batch.frames[middle], extraction.thumbnails[middle])


def _replay(batch: FrameBatch) -> tuple[ReplayView, ...]:
    return tuple(
        ReplayView(
            temporal=view // batch.grid.spatial,
            spatial=view % batch.grid.spatial,
            frames=tuple(batch.frames[place] for place in batch.clip_frames[view // batch.grid.spatial]),
            boxes=tuple(view_boxes(batch, view)),
        )
        for view in range(batch.grid.total)
    )
