"""What can be asked of ``POST /classify``: as keyword arguments of both clients, and as the query string has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TypedDict

from laps_client._deprecated import warn_renamed
from laps_client._timeouts import check_seconds

Query = dict[str, str | list[str]]

_CALLER = 4  # the frames in between: __post_init__, the dataclass's __init__, the client's method


class Options(TypedDict, total=False):
    """What ``stream`` and ``classify_many`` take as ``classify`` does; ``explain`` is the old ``view_details``."""

    model: str | None
    version: int | None
    views: str | None
    top_k: int | None
    frames: bool
    thumbnails: bool
    view_details: bool
    segments: str | float | None
    labels: Sequence[str] | None
    embedding: bool
    deadline_s: float | None
    explain: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifyOptions:
    """The same, checked. What is at its default is not sent, so that a server that does not know it still answers.

    ``explain`` is sent under its old name, which is the one that older servers know.
    """

    model: str | None = None
    version: int | None = None
    views: str | None = None
    top_k: int | None = None
    frames: bool = True
    thumbnails: bool = False
    view_details: bool = False
    segments: str | float | None = None
    labels: Sequence[str] | None = None
    embedding: bool = False
    deadline_s: float | None = None
    explain: bool | None = None

    def __post_init__(self) -> None:
        check_seconds("deadline_s", self.deadline_s)
        if not isinstance(self.segments, str):
            check_seconds("segments", self.segments)
        if self.explain is not None:
            warn_renamed("explain=", "view_details=", stacklevel=_CALLER)

    def query(self) -> Query:
        """The query string, without the deadline: each attempt sends what is then left of it."""
        given = {
            "model": self.model,
            "version": self.version,
            "views": self.views,
            "top_k": self.top_k,
            "segments": _length(self.segments),
        }
        query: Query = {name: str(value) for name, value in given.items() if value is not None}
        if self.labels is not None:
            query["labels"] = [self.labels] if isinstance(self.labels, str) else [*self.labels]
        flags = {
            "frames": (self.frames, True),
            "thumbnails": (self.thumbnails, False),
            "view_details": (self.view_details, False),
            "embedding": (self.embedding, False),
            "explain": (self.explain and not self.view_details, False),
        }
        return query | {
            name: str(bool(value)).lower() for name, (value, usual) in flags.items() if bool(value) != usual
        }


def _length(segments: str | float | None) -> str | None:
    """A length of time as the server reads it: seconds are never written as ``1e-05``."""
    return segments if segments is None or isinstance(segments, str) else f"{Decimal(str(segments)):f}s"
