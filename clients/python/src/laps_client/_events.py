"""What a server reports while it works, as frozen dataclasses whose fields are named as in its JSON.

::

    Accepted ─► Decoded ─► Partial, after each view  ─► Classification
                       └─► SegmentDone, after each ──┘

An error may come at any point, and ends the stream.
"""

from __future__ import annotations

from dataclasses import dataclass

from laps_client._results import Classification, ModelRef, Prediction, Result, SegmentAnswer, VideoInfo


@dataclass(frozen=True, slots=True)
class ViewGrid:
    """Clips along time and crops of each."""

    temporal: int
    spatial: int


@dataclass(frozen=True, slots=True)
class Accepted(Result):
    """The upload is complete, and the work on it begins."""

    request_id: str
    model: ModelRef
    views: ViewGrid
    upload_bytes: int
    segment_s: float | None


@dataclass(frozen=True, slots=True)
class Decoded(Result):
    """The video, or its first segment, is decoded; ``segments_total`` is None without segments."""

    video: VideoInfo
    views_total: int
    segments_total: int | None
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Partial(Result):
    """One more view is done; ``predictions`` rank the views so far."""

    predictions: tuple[Prediction, ...]
    views_done: int
    views_total: int

    def __post_init__(self) -> None:
        if not self.predictions:
            raise ValueError("predictions is empty")

    @property
    def top(self) -> Prediction:
        """The best prediction so far."""
        return self.predictions[0]


@dataclass(frozen=True, slots=True)
class SegmentDone(SegmentAnswer, Result):
    """One more segment is done; its answer, and how many there are."""

    segments_done: int
    segments_total: int


Event = Accepted | Decoded | Partial | SegmentDone | Classification

# By their names in the stream.
EVENT_CLASSES: dict[str, type[Event]] = {
    "accepted": Accepted,
    "decoded": Decoded,
    "partial": Partial,
    "segment": SegmentDone,
    "result": Classification,
}
