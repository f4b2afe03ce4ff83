"""The options of a request."""

from __future__ import annotations

from dataclasses import dataclass

from laps_server.segment_length import SegmentLength
from laps_server.view_grid import ViewGrid

DEFAULT_TOP_K = 5


@dataclass(frozen=True, slots=True)
class ClassifyOptions:
    """What a request asks for; None means the model's or the server's default.

    ``top_k`` of None is :data:`DEFAULT_TOP_K`, or all labels where there are fewer. ``deadline`` is a point of
    ``laps_server.observe.now()``, counted from before the upload. With ``segments`` the video is classified window by
    window. ``deadline_named`` says that the client chose the deadline, which puts it before those who
    have time. ``labels`` are ranked alone, all where none is named.
    """

    model: str | None = None
    version: int | None = None
    top_k: int | None = None
    views: ViewGrid | None = None
    frames: bool = True
    thumbnails: bool = False
    view_details: bool = False
    deadline: float | None = None
    deadline_named: bool = False
    segments: SegmentLength | None = None
    labels: tuple[str, ...] = ()
    embedding: bool = False

    @property
    def urgent_deadline(self) -> float | None:
        """The deadline, where the client named it."""
        return self.deadline if self.deadline_named else None
