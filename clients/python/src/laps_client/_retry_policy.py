"""Whether to send a request again, and after how long: pure functions of what went wrong."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from laps_client._timeouts import check_seconds

RETRY_STATUSES = frozenset({408, 429, 502, 503, 504})

_LOST_BEHIND_A_PROXY = "http_500"
_SECONDS = re.compile(r"[0-9]+(\.[0-9]+)?")
_MOST_DOUBLINGS = 30


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Full jitter: before attempt n + 1, a random time up to ``backoff_s * 2 ** (n - 1)``.

    Attributes:
        attempts: how often a request is sent at most; 1 never repeats.
        backoff_s: longest wait before the second attempt.
        max_backoff_s: bound of the doubling.
        max_retry_after_s: where the server asks for a longer wait, the error is raised at once, with its
            ``retry_after_s``.
    """

    attempts: int = 4
    backoff_s: float = 0.5
    max_backoff_s: float = 20.0
    max_retry_after_s: float = 60.0

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError(f"attempts is {self.attempts!r}; it must be at least 1")
        for name in ("backoff_s", "max_backoff_s", "max_retry_after_s"):
            check_seconds(name, getattr(self, name))

    def wait_s(self, attempt: int, retry_after_s: float | None) -> float | None:
        """Seconds to wait after failed attempt number ``attempt`` (from 1); None where no other should follow.

        The jitter is added to what the server asked for, so that clients which got the same answer do not all return
        at once.
        """
        if attempt >= self.attempts:
            return None
        if retry_after_s is not None and retry_after_s > self.max_retry_after_s:
            return None
        ceiling = min(self.max_backoff_s, self.backoff_s * 2 ** min(attempt - 1, _MOST_DOUBLINGS))
        return (retry_after_s or 0.0) + random.uniform(0, ceiling)


def may_pass(status: int | None, code: str) -> bool:
    """Whether the same request may succeed later.

    A 500 of the server's own is a defect, which comes again. One without its error is of a proxy whose server was lost
    while it answered: so says Ray's.
    """
    return status in RETRY_STATUSES or code == _LOST_BEHIND_A_PROXY


def retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds that ``Retry-After`` asks for: a number, or a date minus the response's own ``Date`` (else ``now``)."""
    value = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(value):
        return float(value)
    until = _http_date(value)
    if until is None:
        return None
    began = _http_date(headers.get("date", "")) or now
    return max(0.0, (until - began).total_seconds())


def _http_date(value: str) -> datetime | None:
    try:
        parsed = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)
