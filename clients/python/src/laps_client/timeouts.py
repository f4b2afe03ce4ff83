"""How long a call may take, as a whole and in each of its waits.

httpx knows timeouts of single waits only. :class:`ShrinkingTimeouts` hands them to it so that none of them reaches
beyond the call's deadline: httpx asks for a timeout as each phase begins, and is told what is left then.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields

_LEAST_TIMEOUT_S = 0.001  # 0 would make a socket non-blocking


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds; None waits without a bound.

    Attributes:
        connect_s: for a connection to open.
        write_s: without the server taking a byte of the upload.
        read_s: without a byte of the answer. The server is silent until its answer is complete, so this bounds its
            work. A call with a deadline of its own waits until that instead.
        total_s: for a whole call with its retries, where it is given no ``deadline_s``.
    """

    connect_s: float | None = 5.0
    write_s: float | None = 30.0
    read_s: float | None = 330.0  # a little more than a server's own default deadline
    total_s: float | None = 1800.0

    def __post_init__(self) -> None:
        for field in fields(self):
            check_seconds(field.name, getattr(self, field.name))


def check_seconds(name: str, value: float | None) -> None:
    """Refuse what is no time to wait."""
    if value is not None and not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} is {value!r}; it must be a positive number of seconds")


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point of ``time.monotonic()``; None is never."""

    at: float | None

    @classmethod
    def after(cls, seconds: float | None) -> Deadline:
        """The point ``seconds`` from now."""
        return cls(None if seconds is None else time.monotonic() + seconds)

    @property
    def remaining_s(self) -> float:
        """Seconds left, infinite without a deadline, never negative."""
        return math.inf if self.at is None else max(0.0, self.at - time.monotonic())

    def check(self) -> None:
        """Go on only before the point.

        Raises:
            TimeIsUp: it has passed.
        """
        if self.remaining_s == 0:
            raise TimeIsUp


class TimeIsUp(Exception):
    """The deadline passed while a call was at work; never leaves the package."""


class ShrinkingTimeouts(Mapping[str, float | None]):
    """The timeouts that httpx looks up by phase, cut to what is left of the deadline at that moment."""

    def __init__(self, timeouts: Timeouts, deadline: Deadline, *, read_until_deadline: bool) -> None:
        self._deadline = deadline
        self._limits = {
            "connect": timeouts.connect_s,
            "write": timeouts.write_s,
            "read": None if read_until_deadline else timeouts.read_s,
            "pool": None,  # waiting for other calls of the same client is bounded by the deadline alone
        }

    def __getitem__(self, phase: str) -> float | None:
        limit = self._limits[phase]
        left = max(self._deadline.remaining_s, _LEAST_TIMEOUT_S)
        least = left if limit is None else min(limit, left)
        return None if math.isinf(least) else least

    def __iter__(self) -> Iterator[str]:
        return iter(self._limits)

    def __len__(self) -> int:
        return len(self._limits)
