"""The stages of a request with their times, reported by the code that runs them to every observer.

::

    received ─► waited, decoded … ─► batched … ─► queued … ─► ran … ─► answered | failed
                a Part               a batch      a view      a batch

Each names its model, as ``name/version``. Loading another version and running a request's shadow are reported
too, as stages of no request, and the start and end of a process that decodes, which is no model's.

This is the only clock of stages. :class:`RequestClock` adds up a request's times for its answer; metrics, traces and
logs are other observers.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal, Protocol


def now() -> float:
    """The clock of all stages and deadlines: seconds that never run back, from a point that means nothing."""
    return time.monotonic()


def processor_now() -> float:
    """Seconds of processors that this process has taken so far, of all its threads together."""
    return time.process_time()


def wall_ns() -> int:
    """Nanoseconds since 1970 by the system's clock, for what leaves this process: it may be set at any moment."""
    return time.time_ns()


@dataclass(frozen=True, slots=True)
class Received:
    """The whole upload is here; ``seconds`` since the request arrived."""

    model: str
    request_id: str
    seconds: float
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Waited:
    """A thread was free to decode the next Part, after ``seconds``."""

    model: str
    request_id: str
    seconds: float


@dataclass(frozen=True, slots=True)
class PartDecoded:
    """One Part is decoded and sampled; ``seconds`` it took, once a thread was free."""

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
    """A batch was put together in ``whole_s``; one request id for each of its views.

    A request's own observer gets its share alone: its views, and in ``seconds`` their part of the time.
    """

    model: str
    request_ids: tuple[str, ...]
    seconds: float
    whole_s: float


@dataclass(frozen=True, slots=True)
class Ran:
    """An engine ran a batch in ``whole_s``; whose views and which ``seconds``, as for :class:`Batched`."""

    model: str
    request_ids: tuple[str, ...]
    seconds: float
    whole_s: float


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer is complete, ``seconds`` after the request arrived.

    ``video_s`` is how long its video is, if known, and ``decode_s`` what decoding all of its Parts took.
    """

    model: str
    request_id: str
    seconds: float
    video_s: float | None
    decode_s: float


@dataclass(frozen=True, slots=True)
class Failed:
    """There will be no answer; ``code`` of the error, ``seconds`` after the request arrived."""

    model: str
    request_id: str
    seconds: float
    code: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """A version of a model that came while others were served was loaded, or refused with the ``code`` of an error."""

    model: str
    seconds: float
    code: str | None


@dataclass(frozen=True, slots=True)
class Shadowed:
    """A request that ``model`` answered was run through ``shadow`` too: ``outcome`` is ok, dropped or an error's code.

    ``agreed`` is whether the top label was the same, ``shift`` how far that label's score was from the first one's.
    """

    model: str
    shadow: str
    seconds: float
    outcome: str
    agreed: bool | None
    shift: float | None


DecoderEnd = Literal["recycled", "spare", "crashed", "stalled", "memory", "garbled", "unwanted"]
"""Why a process that decodes is ended: it has had its share of videos; there are more than are kept. The others are
losses: it died; got no further; had no memory left; sent what made no sense; went on with a video that nobody wanted.
"""


@dataclass(frozen=True, slots=True)
class DecoderStarted:
    """A process that decodes is there."""


@dataclass(frozen=True, slots=True)
class DecoderEnded:
    """A process that decodes is there no more."""

    why: DecoderEnd


Stage = (
    Received
    | Waited
    | PartDecoded
    | Batched
    | Queued
    | Ran
    | Answered
    | Failed
    | Loaded
    | Shadowed
    | DecoderStarted
    | DecoderEnded
)


class Observer(Protocol):
    """Gets every stage, of every request and of none, on the event loop: must be quick and must not raise."""

    def observe(self, stage: Stage) -> None:
        """Take notice."""
        ...


class NoObserver:
    """Takes no notice."""

    def observe(self, stage: Stage) -> None:
        """Nothing."""


@dataclass(frozen=True, slots=True)
class StageTimes:
    """Seconds of each stage: ``decode`` with the wait for a thread, ``queue`` until the first view ran, ``infer`` the
    request's share of its batches.
    """

    upload_s: float
    decode_s: float
    queue_s: float
    infer_s: float


class RequestClock:
    """One request's times, added up from its stages."""

    def __init__(self, request_id: str = "", *, also: Observer | None = None) -> None:
        """Starts now: the request has just arrived.

        Args:
            request_id: as logs and observers tell it.
            also: gets the stages of this request too, as its share.
        """
        self.request_id = request_id
        self.arrived = now()
        self.ended = False  # whether its end was reported
        self.decode_s = 0.0  # without the wait for a thread
        self._also = also or NoObserver()
        self._upload_s = 0.0
        self._wait_s = 0.0
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
            upload_s=self._upload_s,
            decode_s=self._wait_s + self.decode_s,
            queue_s=self._queue_s or 0.0,
            infer_s=self._infer_s,
        )

    def observe(self, stage: Stage) -> None:
        """Add up: a stage here is this request's own share."""
        match stage:
            case Received():
                self._upload_s = stage.seconds
            case Waited():
                self._wait_s += stage.seconds
            case PartDecoded():
                self.decode_s += stage.seconds
            case Queued():
                self._queue_s = stage.seconds if self._queue_s is None else min(self._queue_s, stage.seconds)
            case Batched() | Ran():
                self._infer_s += stage.seconds
            case Answered() | Failed():
                self.ended = True
        self._also.observe(stage)
