"""Sends videos to a classification server and returns typed results.

>>> from laps_client import LapsClient                  # doctest: +SKIP
>>> with LapsClient("http://127.0.0.1:8000") as client:  # doctest: +SKIP
...     client.classify("clip.mp4").top
"""

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
    Thumbnail,
    TimingsMs,
    VideoInfo,
    Views,
)
from laps_client.retry import RetryPolicy
from laps_client.sync_client import LapsClient
from laps_client.timeouts import Timeouts

__all__ = [
    "AsyncLapsClient",
    "BadAnswer",
    "BadRequest",
    "BadVideo",
    "Box",
    "Classification",
    "ConnectionFailed",
    "DeadlineExceeded",
    "FrameScores",
    "LapsClient",
    "LapsError",
    "Limits",
    "ModelInfo",
    "ModelInput",
    "ModelRef",
    "ModelSummary",
    "Models",
    "NotFound",
    "Prediction",
    "Readiness",
    "ReplayFrame",
    "ReplayView",
    "RetryPolicy",
    "ServerError",
    "Thumbnail",
    "TimedOut",
    "Timeouts",
    "TimingsMs",
    "TooLarge",
    "Unavailable",
    "VideoInfo",
    "Views",
]

__version__ = "0.1.0"
