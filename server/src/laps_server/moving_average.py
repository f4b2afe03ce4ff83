"""What something costs by the last measurements of it, newer ones counting more."""

from __future__ import annotations

_NEWEST = 0.2  # share of the newest measurement


class MovingAverage:
    """Seconds; 0 where nothing was measured yet."""

    def __init__(self) -> None:
        self._seconds = 0.0

    @property
    def seconds(self) -> float:
        """By the last measurements."""
        return self._seconds

    def learn(self, seconds: float) -> None:
        """One more."""
        self._seconds += (seconds - self._seconds) * (_NEWEST if self._seconds else 1)
