"""How long a request may take, as a whole and in each of its waits.

httpx knows timeouts of single waits only, and looks one up as each phase begins. :class:`ShrinkingTimeouts` answers
with what is then left of the deadline, so that no wait reaches beyond it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields

_LEAST_TIMEOUT_S = 0.001  # 0 would make a socket non-blocking


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds; None waits without a bound.

    Attributes:
        connect_s: for a connection to open.
        write_s: without the server taking a byte of the upload.
        read_s: without a byte of the answer. The server is silent until its answer is complete, so this bounds its
            work. A request with a ``deadline_s`` waits until that instead.
        total_s: for a whole request and its retries, where it has no ``deadline_s``.
    """

    connect_s: float | None = 5.0
    write_s: float | None = 30.0
    read_s: float | None = 330.0  # a little more than a server's own default deadline
    total_s: float | None = 1800.0

    def __post_init__(self) -> None:
        for field in fields(self):
            check_seconds(field.name, getattr(self, field.name))


def check_seconds(name: str, value: float | None) -> None:
    """Refuse a value that is not a time to wait."""
    if value is not None and not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} is {value!r}; it must be a positive number of seconds")


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point in the time of ``clock``; None is never."""

    at: float | None
    clock: Callable[[], float] = time.monotonic

    @classmethod
    def after(cls, seconds: float | None, *, clock: Callable[[], float] = time.monotonic) -> Deadline:
        """The point ``seconds`` from now."""
        return cls(None if seconds is None else clock() + seconds, clock)

    @property
    def remaining_s(self) -> float:
        """Seconds left, infinite without a deadline, never negative."""
        return math.inf if self.at is None else max(0.0, self.at - self.clock())

    def check(self) -> None:
        """Go on only before that point.

        Raises:
            TimeIsUp: it has passed.
        """
        if self.remaining_s == 0:
            raise TimeIsUp


class TimeIsUp(Exception):
    """The deadline passed during an attempt; never leaves the package."""


class ShrinkingTimeouts(Mapping[str, float | None]):
    """The timeouts that httpx looks up by phase, cut to what is left of the deadline at that moment."""

    def __init__(self, timeouts: Timeouts, deadline: Deadline, *, read_until_deadline: bool) -> None:
        self._deadline = deadline
        self._limits = {
            "connect": timeouts.connect_s,
            "write": timeouts.write_s,
            "read": None if read_until_deadline else timeouts.read_s,
            "pool": None,  # waiting for other requests of the same client is bounded by the deadline alone
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
