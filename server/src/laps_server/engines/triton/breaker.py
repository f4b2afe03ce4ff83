"""A circuit breaker: after several failures in a row batches fail at once, until a probe succeeds.

::

    closed ── failures in a row, or a trip ──► open ── pause over, a probe sets out ──► half open
      ▲                                          ▲                                        │
      └──────────── the probe succeeds ──────────┼────────────────────────────────────────┤
                                                 └──────────── the probe fails ───────────┘
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

State = Literal["closed", "open", "half_open"]


class Breaker:
    """Counts failures; whoever sends a batch reads :attr:`closed` first, and reports how it went.

    Batches and probes are counted apart: where a server is healthy and its model hangs, only batches show it.
    """

    def __init__(self, *, failures: int, pause_s: float, clock: Callable[[], float]) -> None:
        self._limit = failures
        self._pause_s = pause_s
        self._clock = clock
        self._in_a_row = {"batches": 0, "probes": 0}
        self._state: State = "closed"
        self._opened = 0.0

    @property
    def state(self) -> State:
        """Where it stands."""
        return self._state

    @property
    def closed(self) -> bool:
        """Whether batches may be sent."""
        return self._state == "closed"

    def probe_due(self) -> bool:
        """Whether a probe may start now; an open breaker is half open from here until the probe's result."""
        if self._state == "open" and self._clock() - self._opened >= self._pause_s:
            self._state = "half_open"
        return self._state != "open"

    def succeeded(self, *, probe: bool = False) -> None:
        """A batch or a probe succeeded; only a probe closes an open breaker."""
        if self._state == "closed":
            self._in_a_row["probes" if probe else "batches"] = 0
        elif probe:
            self._state = "closed"

    def failed(self, *, probe: bool = False) -> None:
        """A batch or a probe failed. A batch that was sent before the breaker opened changes nothing."""
        if self._state == "closed":
            kind = "probes" if probe else "batches"
            self._in_a_row[kind] += 1
            if self._in_a_row[kind] >= self._limit:
                self.trip()
        elif probe:
            self.trip()

    def trip(self) -> None:
        """Open now: there is no doubt that batches would fail."""
        self._state = "open"
        self._opened = self._clock()
        self._in_a_row = {"batches": 0, "probes": 0}
