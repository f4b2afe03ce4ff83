"""What became of one of many files, as ``classify_many`` yields it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from laps_client._events import Event
from laps_client._results import Classification
from laps_client.errors import LapsError

FilePath = str | os.PathLike[str]
P = TypeVar("P", bound=FilePath)
P_co = TypeVar("P_co", bound=FilePath, covariant=True)

ManyProgress = Callable[[P, int, int | None], object]
ManyEvents = Callable[[P, Event], object]


@dataclass(frozen=True, slots=True)
class Outcome(Generic[P_co]):
    """One file's result or its error.

    Attributes:
        path: the object that was given, unchanged.
        result: None where there is an error.
        error: a file that cannot be read is a ``BadRequest`` with code ``source_unreadable``.
    """

    path: P_co
    result: Classification | None
    error: LapsError | None

    def unwrap(self) -> Classification:
        """The result.

        Raises:
            LapsError: there is none.
        """
        if self.result is None:
            raise self.error or LapsError("no result")
        return self.result
