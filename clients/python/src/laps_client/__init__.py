"""Sends videos to a classification server and returns typed results.

>>> from laps_client import LapsClient                  # doctest: +SKIP
>>> with LapsClient("http://127.0.0.1:8000") as client:  # doctest: +SKIP
...     client.classify("clip.mp4").top

Public are the names below, :mod:`laps_client.errors` and :mod:`laps_client.plots`. Modules that begin with an
underscore, and those of the command line in :mod:`laps_client.cli`, may change in any release.
"""

from importlib.metadata import version as _version
from typing import TYPE_CHECKING, Any

from laps_client._async_client import AsyncLapsClient
from laps_client._deprecated import warn_renamed
from laps_client._events import Accepted, Decoded, Event, Partial, SegmentDone, ViewGrid
from laps_client._outcome import Outcome
from laps_client._results import (
    Box,
    Classification,
    EmbeddingInfo,
    EngineCandidate,
    EngineChoice,
    FailedVersion,
    FrameScores,
    Limits,
    ModelCost,
    ModelInfo,
    ModelInput,
    ModelRef,
    Models,
    ModelSummary,
    Prediction,
    Readiness,
    ReplayFrame,
    ReplayView,
    SegmentAnswer,
    Thumbnail,
    Timeline,
    TimingsMs,
    VideoInfo,
    Views,
)
from laps_client._retry_policy import RetryPolicy
from laps_client._sync_client import LapsClient
from laps_client._timeouts import Timeouts
from laps_client.errors import (
    BadAnswer,
    BadRequest,
    BadVideo,
    ConnectionFailed,
    DeadlineExceeded,
    Forbidden,
    LapsError,
    NotFound,
    QuotaExceeded,
    ServerError,
    TimedOut,
    TooLarge,
    Unauthorized,
    Unavailable,
)

__all__ = [
    "Accepted",
    "AsyncLapsClient",
    "BadAnswer",
    "BadRequest",
    "BadVideo",
    "Box",
    "Classification",
    "ConnectionFailed",
    "DeadlineExceeded",
    "Decoded",
    "EmbeddingInfo",
    "EngineCandidate",
    "EngineChoice",
    "Event",
    "FailedVersion",
    "Forbidden",
    "FrameScores",
    "LapsClient",
    "LapsError",
    "Limits",
    "ModelCost",
    "ModelInfo",
    "ModelInput",
    "ModelRef",
    "ModelSummary",
    "Models",
    "NotFound",
    "Outcome",
    "Partial",
    "Prediction",
    "QuotaExceeded",
    "Readiness",
    "ReplayFrame",
    "ReplayView",
    "RetryPolicy",
    "SegmentAnswer",
    "SegmentDone",
    "ServerError",
    "Thumbnail",
    "TimedOut",
    "Timeline",
    "Timeouts",
    "TimingsMs",
    "TooLarge",
    "Unauthorized",
    "Unavailable",
    "VideoInfo",
    "ViewGrid",
    "Views",
]

__version__ = _version("laps-client")

if TYPE_CHECKING:
    Grid = ViewGrid
    Segment = SegmentAnswer
else:
    _RENAMED = {"Grid": ViewGrid, "Segment": SegmentAnswer}

    def __getattr__(name: str) -> Any:
        if name not in _RENAMED:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        warn_renamed(f"{__name__}.{name}", _RENAMED[name].__name__, stacklevel=2)
        return _RENAMED[name]
