"""Which way to run a model is taken, decided from what was measured: pure functions and plain data.

A way is an engine and a precision. Float32 answers are the reference and always hold; those of a coarser precision hold
if on no view the top label changed or its score moved far. Of those that hold the cheapest is taken.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from laps_server.arrays import Float64Array
from laps_server.engines.choices import Candidate
from laps_server.models.parity_limits import MAX_SHIFT_AT_START

# A candidate that costs so much more than the best so far is tried no further.
_CLEARLY_SLOWER = 1.5


@dataclass(frozen=True, slots=True)
class Timing:
    """What one view takes, alone in its batch: milliseconds on the clock, and of all processors together.

    ``elsewhere``: a GPU does the work, and processors wait for it.
    """

    ms: float
    processor_ms: float
    elsewhere: bool = False

    @property
    def cost(self) -> float:
        """What candidates are ordered by: a geometric mean in which the processors' time counts three times.

        It is what a busy server's throughput follows from, and who else runs on the machine disturbs it least. But it
        does not see threads that wait for each other, and the clock does. Of work that is done elsewhere only the clock
        tells.
        """
        if self.elsewhere:
            return self.ms
        return float(self.processor_ms**0.75 * self.ms**0.25)

    def less(self, ms: float) -> Timing:
        """What is left of both without so many milliseconds."""
        return replace(self, ms=max(0.0, self.ms - ms), processor_ms=max(0.0, self.processor_ms - ms))

    def is_clearly_slower_than(self, best: Timing | None) -> bool:
        """Whether more rounds could not make it the best."""
        return best is not None and self.cost > _CLEARLY_SLOWER * best.cost


@dataclass(frozen=True, slots=True)
class Shift:
    """How far scores of views are from those of the reference."""

    largest: float
    labels_changed: int

    @property
    def holds(self) -> bool:
        """Whether it is near enough to be served unasked."""
        return self.labels_changed == 0 and self.largest <= MAX_SHIFT_AT_START


@dataclass(frozen=True, slots=True)
class Measured:
    """What is known of one candidate; of one that fails its ``failure`` alone."""

    candidate: Candidate
    timing: Timing | None = None
    shift: Shift | None = None
    failure: str | None = None

    @property
    def cost(self) -> float:
        """By which candidates are ordered; one that fails is the last."""
        return math.inf if self.timing is None else self.timing.cost


@dataclass(frozen=True, slots=True)
class Choice:
    """What was taken and why: ``measured`` from the cheapest on, over ``views`` views.

    ``pinned`` says that the operator left no other precision, so that it is served though it may not hold.
    """

    candidate: Candidate
    measured: tuple[Measured, ...]
    views: int
    pinned: bool = False

    @property
    def taken(self) -> Measured:
        """What is known of the one that was taken."""
        return next(item for item in self.measured if item.candidate == self.candidate)

    @property
    def holds(self) -> bool:
        """Whether its answers are near enough to those of float32."""
        return self.taken.shift is None or self.taken.shift.holds

    def verdict(self, item: Measured) -> str:
        """Why it was taken, or was not."""
        if item.candidate == self.candidate:
            if not self.holds:
                return "taken though it does not hold, since the settings leave no other"
            return "taken: the fastest whose answers hold" if len(self.measured) > 1 else "taken: there is no other"
        if item.failure is not None:
            return f"failed: {item.failure}"
        if item.shift is not None and not item.shift.holds:
            return "its answers do not hold"
        return "slower"


def shift(reference: Float64Array, scores: Float64Array) -> Shift:
    """Compare scores of views ``[V, K]`` with the reference's ``[V, K]``, by each view's top label in the reference."""
    top = reference.argmax(axis=1)  # [V]
    views = range(len(reference))
    return Shift(
        largest=float(abs(scores[views, top] - reference[views, top]).max()),
        labels_changed=int((scores.argmax(axis=1) != top).sum()),
    )


def by_cost(measured: Iterable[Measured]) -> tuple[Measured, ...]:
    """The cheapest first."""
    return tuple(sorted(measured, key=lambda item: item.cost))


def decide(measured: Sequence[Measured], *, reference: Candidate, views: int, pinned: bool) -> Choice | None:
    """The choice, as soon as what is known is enough for one; None while the cheapest that may hold is unchecked.

    Args:
        measured: every candidate, each timed or failed.
        reference: whose answers hold because all others are compared with them.
        views: how many they are compared on.
        pinned: whether the operator asked for this precision, so that one is taken even if none holds.
    """
    ordered = by_cost(item for item in measured if item.failure is None)
    for item in ordered:
        if item.shift is None and not _is_exact(item.candidate, reference):
            return None
        if item.shift is None or item.shift.holds:
            return Choice(item.candidate, by_cost(measured), views, pinned)
    return Choice(ordered[0].candidate, by_cost(measured), views, pinned) if ordered else None


def next_to_check(measured: Sequence[Measured], *, reference: Candidate) -> Candidate | None:
    """The cheapest candidate whose answers nobody compared yet; None where each is known."""
    for item in by_cost(measured):
        if item.failure is None and item.shift is None and not _is_exact(item.candidate, reference):
            return item.candidate
    return None


def _is_exact(candidate: Candidate, reference: Candidate) -> bool:
    return candidate.precision == reference.precision
