"""The stages of a request with their times, reported by the code that runs them to every observer.

::

    received ─► decoded … ─► queued … ─► batched … ─► ran … ─► answered | failed
                a Part       a view      a batch      a batch

Each names its model, as ``name/version``.

This is the only clock of stages. :class:`RequestClock` adds up a request's times for its answer; metrics, traces and
logs are other observers.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol


def now() -> float:
    """The clock of all stages and deadlines: seconds that never run back, from a point that means nothing."""
    return time.monotonic()


def processor_now() -> float:
    """Seconds of processors that this process has taken so far, of all its threads together."""
    return time.process_time()


@dataclass(frozen=True, slots=True)
class Received:
    """The whole upload is here; ``seconds`` since the request arrived."""

    model: str
    request_id: str
    seconds: float
    size_bytes: int


@dataclass(frozen=True, slots=True)
class PartDecoded:
    """One Part is decoded and sampled; ``seconds`` it took, waiting for a thread included."""

    model: str
    request_id: str
    seconds: float
    frames: int
    views: int


@dataclass(frozen=True, slots=True)
class Queued:
    """One view left the queue for a batch, ``seconds`` after it got there."""

    model: str
    request_id: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Batched:
    """A batch was put together; one request id for each of its views. A request's own observer gets its share alone."""

    model: str
    request_ids: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Ran:
    """An engine ran a batch; one request id for each of its views. A request's own observer gets its share alone."""

    model: str
    request_ids: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer is complete, ``seconds`` after the request arrived; ``video_s`` is how long its video is, if known."""

    model: str
    request_id: str
    seconds: float
    video_s: float | None


@dataclass(frozen=True, slots=True)
class Failed:
    """There will be no answer; ``code`` of the error, ``seconds`` after the request arrived."""

    model: str
    request_id: str
    seconds: float
    code: str


Stage = Received | PartDecoded | Queued | Batched | Ran | Answered | Failed


class Observer(Protocol):
    """Gets every stage of every request, on the event loop: must be quick and must not raise."""

    def observe(self, stage: Stage) -> None:
        """Take notice."""
        ...


class NoObserver:
    """Takes no notice."""

    def observe(self, stage: Stage) -> None:
        """Nothing."""


@dataclass(frozen=True, slots=True)
class StageTimes:
    """Seconds of each stage: ``queue`` until the first view ran, ``infer`` the request's share of its batches."""

    upload_s: float
    decode_s: float
    queue_s: float
    infer_s: float


class RequestClock:
    """One request's times, added up from its stages."""

    def __init__(self, request_id: str = "") -> None:
        """Starts now: the request has just arrived."""
        self.request_id = request_id
        self.arrived = now()
        self.ended = False  # whether its end was reported
        self._upload_s = 0.0
        self._decode_s = 0.0
        self._queue_s: float | None = None
        self._infer_s = 0.0

    @property
    def elapsed_s(self) -> float:
        """Seconds since the request arrived."""
        return now() - self.arrived

    @property
    def times(self) -> StageTimes:
        """What is known by now."""
        return StageTimes(
            upload_s=self._upload_s, decode_s=self._decode_s, queue_s=self._queue_s or 0.0, infer_s=self._infer_s
        )

    def observe(self, stage: Stage) -> None:
        """Add up: a stage here is this request's own share."""
        match stage:
            case Received():
                self._upload_s = stage.seconds
            case PartDecoded():
                self._decode_s += stage.seconds
            case Queued():
                self._queue_s = stage.seconds if self._queue_s is None else min(self._queue_s, stage.seconds)
            case Batched() | Ran():
                self._infer_s += stage.seconds
            case Answered() | Failed():
                self.ended = True
