"""Answers a second, from the moments at which they came."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

MAX_SHORTFALL = 0.10
"""How far a rate of many may lie from the single rate, times as many."""


@dataclass(frozen=True)
class Rate:
    """Of so many replicas or actors; ``cores`` are those that all processes kept busy meanwhile, the clients' too."""

    workers: int
    per_s: float
    answers: int
    cores: float


@dataclass(frozen=True)
class Scaling:
    """One worker beside many."""

    road: str
    single: Rate
    many: Rate

    @property
    def ratio(self) -> float:
        """The rate of many over what as many single ones would have; 1 is perfect."""
        return self.many.per_s / (self.many.workers * self.single.per_s)

    @property
    def reached(self) -> bool:
        """Whether it is near enough."""
        return abs(1 - self.ratio) <= MAX_SHORTFALL


def steady_rate(moments: Sequence[float], workers: int) -> float:
    """Answers a second between the first and the last of these moments.

    Workers that run side by side answer in bunches, and how a bunch falls on an end would count. So both ends are means
    of as many moments as there are workers.

    Raises:
        ValueError: too few moments.
    """
    ordered = sorted(moments)
    if len(ordered) < 2 * workers or ordered[0] == ordered[-1]:
        raise ValueError(f"{len(ordered)} moments are too few for {workers} workers")
    first, last = statistics.fmean(ordered[:workers]), statistics.fmean(ordered[-workers:])
    return (len(ordered) - workers) / (last - first)
