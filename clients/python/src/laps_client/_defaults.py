"""What both clients use where their user gives nothing."""

from __future__ import annotations

from importlib.metadata import version

import httpx

from laps_client._retry_policy import RetryPolicy
from laps_client._timeouts import Timeouts

BASE_URL = "http://127.0.0.1:8000"
TIMEOUTS = Timeouts()
RETRIES = RetryPolicy()


def user_agent() -> dict[str, str]:
    """Names this package in a server's log."""
    return {"User-Agent": f"laps-client/{version('laps-client')} httpx/{httpx.__version__}"}
