"""How many classify requests are in flight, and whether one more may come in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from laps_server.errors import Overloaded
from laps_server.pipeline import Pipeline


class Admission:
    """Counts requests from before their body is read until their answer is sent."""

    def __init__(self, pipeline: Pipeline, *, max_requests: int) -> None:
        self._pipeline = pipeline
        self._max_requests = max_requests
        self._active = 0

    @property
    def active(self) -> int:
        """Requests in flight."""
        return self._active

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Hold one place.

        Raises:
            Overloaded, NotReady, ShuttingDown: there is none now.
        """
        self._pipeline.admit()
        if self._active >= self._max_requests:
            raise Overloaded(
                f"{self._active} requests are in flight, which is the limit",
                hint="send the request again later",
            )
        self._active += 1
        try:
            yield
        finally:
            self._active -= 1
