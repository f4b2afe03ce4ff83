"""Sends videos to a classification server and returns typed results.

>>> from laps_client import LapsClient                  # doctest: +SKIP
>>> with LapsClient("http://127.0.0.1:8000") as client:  # doctest: +SKIP
...     client.classify("clip.mp4").top
"""

from importlib.metadata import version as _version

from laps_client.async_client import AsyncLapsClient
from laps_client.errors import (
    BadAnswer,
    BadRequest,
    BadVideo,
    ConnectionFailed,
    DeadlineExceeded,
    LapsError,
    NotFound,
    ServerError,
    TimedOut,
    TooLarge,
    Unavailable,
)
from laps_client.events import Accepted, Decoded, Event, Grid, Partial, SegmentDone
from laps_client.many import Outcome
from laps_client.results import (
    Box,
    Classification,
    FrameScores,
    Limits,
    ModelInfo,
    ModelInput,
    ModelRef,
    Models,
    ModelSummary,
    Prediction,
    Readiness,
    ReplayFrame,
    ReplayView,
    Segment,
    Thumbnail,
    Timeline,
    TimingsMs,
    VideoInfo,
    Views,
)
from laps_client.retry import RetryPolicy
from laps_client.sync_client import LapsClient
from laps_client.timeouts import Timeouts

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
    "Event",
    "FrameScores",
    "Grid",
    "LapsClient",
    "LapsError",
    "Limits",
    "ModelInfo",
    "ModelInput",
    "ModelRef",
    "ModelSummary",
    "Models",
    "NotFound",
    "Outcome",
    "Partial",
    "Prediction",
    "Readiness",
    "ReplayFrame",
    "ReplayView",
    "RetryPolicy",
    "Segment",
    "SegmentDone",
    "ServerError",
    "Thumbnail",
    "TimedOut",
    "Timeline",
    "Timeouts",
    "TimingsMs",
    "TooLarge",
    "Unavailable",
    "VideoInfo",
    "Views",
]

__version__ = _version("laps-client")
