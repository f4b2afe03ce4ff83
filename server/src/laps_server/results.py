"""From the logits of views to a request's answer: rankings so far, segments, the timeline, the answer.

One :class:`Accumulator` a request. Parts announce views, results fill them in. Once a segment's last view is there,
only its answer is kept::

    Part ───► expect ─┐                    ┌─► ranking_so_far
                      ├─► segment_complete ┤
    logits ─► add ────┘                    └─► close_segment ─► SegmentAnswer … ─► answer

No I/O and nothing awaited. :meth:`Accumulator.close_segment` and :meth:`Accumulator.answer` take a while with many
labels and frames: call them in a thread.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from laps_server.arrays import Float32Array, Float64Array, IntArray
from laps_server.classify_options import DEFAULT_TOP_K, ClassifyOptions
from laps_server.engines.base import EngineInfo
from laps_server.errors import BadParameter, InternalError, VideoCorrupt
from laps_server.events import Classification, ReplayView, SegmentAnswer, Thumbnail, Timeline
from laps_server.label_choice import chosen_labels
from laps_server.models.repository import ModelFiles
from laps_server.observe import StageTimes
from laps_server.part import MediaWarning, Part, Segment
from laps_server.sampled_frame import SampledFrame
from laps_server.scores import ScoredLabel, Scoring, clip_logits, margin, rank, unit_length, votes
from laps_server.time_rows import ROW_KINDS, FrameScores, TimeRow, merged_rows, row_spans
from laps_server.video.preprocess import view_boxes
from laps_server.video_info import VideoInfo
from laps_server.view_grid import ViewGrid

# An answer grows with the number of segments, and is held whole. About what its parts take as JSON:
MAX_ANSWER_BYTES = 128 * 2**20
SCORE_BYTES = 22
ROW_NUMBERS = 4  # beside its scores: its index, and where it begins, lies and ends
PREDICTION_BYTES = 64
THUMBNAIL_BYTES = 6 * 2**10
DETAIL_BYTES = 128  # of a view's frame: which it is, and its crop

# Gets the logits [V, R, K] or [V, K] of a segment's views once all are there: for tests and for debugging.
LogitsSink = Callable[[Segment, Float32Array], None]


def model_warnings(model: ModelFiles) -> tuple[str, ...]:
    """What a client should know of the model, whatever the video."""
    if model.manifest.untrained:
        return (f"model {model.name!r} is untrained: its weights are random and its labels mean nothing",)
    return ()


class Accumulator:
    """Adds up the views of one request, segment by segment."""

    def __init__(
        self,
        model: ModelFiles,
        grid: ViewGrid,
        options: ClassifyOptions,
        *,
        engine: EngineInfo,
        sink: LogitsSink | None = None,
    ) -> None:
        manifest = model.manifest
        self._model = model
        self._grid = grid
        self._options = options
        self._engine = engine
        self._sink = sink
        self._scoring = Scoring(manifest.activation, manifest.temperature, manifest.average)
        self._ranked = chosen_labels(options.labels, model.labels)  # places of labels, None for all
        self._spans = row_spans(
            manifest.output.kind, clip_frames=manifest.clip.frames, steps=manifest.output.steps
        )  # [R]
        self._open: _OpenSegment | None = None
        self._answers: list[SegmentAnswer] = []
        self._segment_means: list[Float32Array] = []  # of each segment the mean of its views' terms [K]
        self._sum = np.zeros(len(model.labels))  # [K], terms of the views of all segments
        self._votes = np.zeros(len(model.labels), dtype=np.intp)  # [K], of the views of all segments
        self._embeddings = np.zeros(self._embedding_size)  # [D], the sum over the views of all segments
        self._views = 0
        self._video: VideoInfo | None = None

    def check_size(self, segments: int) -> int:
        """About how many bytes the answer takes as JSON; refuses a giant one, before any work is done.

        Raises:
            BadParameter: with ways to a smaller one.
        """
        options = self._options
        ranked = len(self._model.labels) if self._ranked is None else len(self._ranked)
        labels = min(options.top_k or DEFAULT_TOP_K, ranked)
        rows = self._grid.temporal * len(self._spans)
        segment_bytes = labels * PREDICTION_BYTES
        segment_bytes += rows * (labels + ROW_NUMBERS) * SCORE_BYTES if options.frames else 0
        segment_bytes += self._embedding_size * SCORE_BYTES
        # Of a segment one thumbnail is sent, of a whole video that of every frame.
        frames = self._grid.temporal * self._model.manifest.clip.frames
        segment_bytes += THUMBNAIL_BYTES * (frames if segments == 1 else 1) if options.thumbnails else 0
        segment_bytes += DETAIL_BYTES * frames * self._grid.spatial if options.view_details else 0
        if segments > 1 and segments * segment_bytes > MAX_ANSWER_BYTES:
            raise BadParameter(
                f"the answer for {segments} segments would be too large",
                hint="ask for longer segments, a smaller top_k, fewer views, no frames, thumbnails or embedding",
            )
        return segments * segment_bytes

    def expect(self, part: Part) -> None:
        """The views of ``part`` are on their way. One that begins its segment makes earlier results of it void."""
        if part.begins_segment:
            self._open = _OpenSegment(part, self._scoring, classes=len(self._model.labels), options=self._options)
        else:
            self._segment.expect(part)
        self._video = part.video

    def add(self, view: int, logits: Float32Array, embedding: Float32Array | None = None) -> None:
        """One more view of the open segment: its number in the grid, its logits ``[R, K]`` or ``[K]``."""
        self._segment.add(view, logits, embedding)

    @property
    def video_s(self) -> float | None:
        """How long the video is, where that is known."""
        return self._video.duration_s if self._video is not None else None

    @property
    def views_done(self) -> int:
        """Views of the open segment whose logits are here."""
        return len(self._segment.rows)

    @property
    def segment_complete(self) -> bool:
        """Whether all views of the open segment are here."""
        return len(self._segment.rows) == self._grid.total

    def ranking_so_far(self) -> tuple[ScoredLabel, ...]:
        """The best labels by the views of the open segment that are here."""
        segment = self._segment
        return self._ranking(segment.running_sum / len(segment.rows))

    def close_segment(self) -> SegmentAnswer:
        """The answer for the open segment, whose views are all here."""
        segment = self._segment
        # Scores and rankings.
        view_logits = np.stack([segment.rows[view] for view in range(self._grid.total)])  # [V, R, K] or [V, K]
        logits = clip_logits(view_logits)  # [V, K]
        terms = self._scoring.terms(logits)  # [V, K]
        mean = terms.mean(axis=0)  # [K]
        predictions = self._ranking(mean)
        counts = votes(self._scoring.probabilities(logits), among=self._ranked)  # [K]
        embeddings = segment.embedding_sum(self._embedding_size)  # [D]
        answer = SegmentAnswer(
            index=segment.segment.index,
            start_s=segment.segment.start_s,
            end_s=segment.segment.end_s,
            predictions=predictions,
            agreement=float(counts[predictions[0].index] / len(view_logits)),
            margin=self._margin(mean),
            frames=self._frame_scores(segment, view_logits, predictions),
            grid=self._grid,
            views_used=len(view_logits),
            sampling=self._model.manifest.sampling,
            warnings=tuple(f"the segment {item.text}" for item in segment.warnings if item.scope == "segment"),
            sampled=segment.sampled,
            thumbnails=tuple(Thumbnail(segment.frames[place], jpeg) for place, jpeg in sorted(segment.jpegs.items())),
            view_details=tuple(segment.view_details),
            embedding=self._embedding(embeddings),
        )
        # What the whole answer needs of it.
        self._answers.append(answer)
        self._segment_means.append(mean.astype(np.float32))
        self._sum += terms.sum(axis=0)
        self._votes += counts
        self._embeddings += embeddings
        self._views += len(view_logits)
        self._open = None
        if self._sink is not None:
            self._sink(segment.segment, view_logits)
        return answer

    def answer(self, times: StageTimes, warnings: tuple[str, ...]) -> Classification:
        """The answer for the whole video: the mean over all views of all segments, and every segment's own.

        Raises:
            VideoCorrupt: there was no segment.
        """
        if self._video is None or not self._answers:
            raise VideoCorrupt("not one frame of the video could be decoded", hint="was the whole file sent?")
        mean = self._sum / self._views
        predictions = self._ranking(mean)
        return Classification(
            model=self._model.name,
            version=self._model.version,
            engine=self._engine.name,
            precision=self._engine.precision,
            predictions=predictions,
            agreement=float(self._votes[predictions[0].index] / self._views),
            margin=self._margin(mean),
            frames=None,
            grid=self._grid,
            views_used=self._views,
            sampling=self._model.manifest.sampling,
            video=self._video,
            times=times,
            warnings=warnings,
            sampled=(),
            thumbnails=(),
            view_details=(),
            embedding=self._embedding(self._embeddings),
            segments=tuple(self._answers),
            timeline=self._timeline(predictions),
        )

    @property
    def _segment(self) -> _OpenSegment:
        if self._open is None:
            raise InternalError("no segment is open")
        return self._open

    @property
    def _embedding_size(self) -> int:
        """D, or 0 where no embedding is asked for."""
        embedding = self._model.manifest.embedding
        return embedding.size if embedding is not None and self._options.embedding else 0

    def _ranking(self, mean: Float64Array) -> tuple[ScoredLabel, ...]:
        """The best labels by the mean of views' terms ``[K]``, as many as asked for."""
        top_k = self._options.top_k or DEFAULT_TOP_K
        return rank(self._scoring.scores(mean), self._model.labels, top_k, among=self._ranked)

    def _margin(self, mean: Float64Array) -> float:
        return margin(self._scoring.scores(mean), among=self._ranked)

    def _embedding(self, total: Float64Array) -> Float32Array | None:
        return unit_length(total) if len(total) else None

    def _frame_scores(
        self, segment: _OpenSegment, view_logits: Float32Array, predictions: tuple[ScoredLabel, ...]
    ) -> FrameScores | None:
        if not self._options.frames:
            return None
        frames = segment.sampled
        view_rows = view_logits if view_logits.ndim == 3 else view_logits[:, None]  # [V, R, K]
        stretches, means = merged_rows(
            self._scoring.terms(view_rows),
            np.concatenate(segment.clip_places),  # [V_t, T]
            [frame.time_s for frame in frames],
            spans=self._spans,
        )
        columns = [prediction.index for prediction in predictions]
        return FrameScores(
            kind=ROW_KINDS[self._model.manifest.output.kind],
            rows=tuple(TimeRow(frames[first], frames[last]) for first, last in stretches),
            labels=tuple(prediction.label for prediction in predictions),
            scores=self._scoring.scores(means)[:, columns].astype(np.float32),  # [N, labels]
        )

    def _timeline(self, predictions: tuple[ScoredLabel, ...]) -> Timeline:
        columns = [prediction.index for prediction in predictions]
        means = np.stack(self._segment_means).astype(np.float64)  # [S, K]
        return Timeline(
            labels=tuple(prediction.label for prediction in predictions),
            start_s=tuple(answer.start_s for answer in self._answers),
            end_s=tuple(answer.end_s for answer in self._answers),
            scores=self._scoring.scores(means)[:, columns].astype(np.float32),
        )


class _OpenSegment:
    """A segment whose views are coming in; holds no pixels."""

    def __init__(self, part: Part, scoring: Scoring, *, classes: int, options: ClassifyOptions) -> None:
        self._scoring = scoring
        self._options = options
        self.segment = part.segment
        self.warnings: tuple[MediaWarning, ...] = ()
        self.frames: dict[int, SampledFrame] = {}  # by their places in the segment
        self.clip_places: list[IntArray] = []  # of each Part, [clips, T]
        self.jpegs: dict[int, bytes] = {}  # by the places of their frames
        self.view_details: list[ReplayView] = []
        self.rows: dict[int, Float32Array] = {}  # logits by view
        self.running_sum = np.zeros(classes)  # [K], so that a running ranking costs the same for each view
        self._embeddings: dict[int, Float32Array] = {}  # by view, [D]
        self.expect(part)

    @property
    def sampled(self) -> tuple[SampledFrame, ...]:
        """Distinct frames in presentation order."""
        return tuple(frame for _, frame in sorted(self.frames.items()))

    def expect(self, part: Part) -> None:
        self.warnings = part.warnings
        self.frames.update(zip(part.places, part.frames, strict=True))
        self.clip_places.append(np.asarray(part.places, dtype=np.intp)[part.clip_frames])
        if part.thumbnails:
            self.jpegs.update((place, jpeg) for place, jpeg in zip(part.places, part.thumbnails, strict=True) if jpeg)
        if self._options.view_details:
            self.view_details += [_replay_view(part, view) for view in part.views]

    def add(self, view: int, logits: Float32Array, embedding: Float32Array | None) -> None:
        self.rows[view] = logits
        self.running_sum += self._scoring.terms(clip_logits(logits[None]))[0]
        if embedding is not None and self._options.embedding:
            self._embeddings[view] = embedding

    def embedding_sum(self, size: int) -> Float64Array:
        """Over the views, ``[size]``."""
        if not size:
            return np.zeros(0)
        total: Float64Array = np.stack([vector for _, vector in sorted(self._embeddings.items())]).sum(
            axis=0, dtype=np.float64
        )
        return total  # [D]


def _replay_view(part: Part, view: int) -> ReplayView:
    row, spatial = part.locate(view)
    return ReplayView(
        temporal=part.clips.start + row,
        spatial=spatial,
        frames=tuple(part.frames[position] for position in part.clip_frames[row]),
        boxes=view_boxes(part, view),
    )
