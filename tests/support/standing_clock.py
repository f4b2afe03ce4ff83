"""A clock that a test moves on by hand."""

from __future__ import annotations


class StandingClock:
    """Stands still until ``now_s`` is changed; called, it says the time in seconds."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s
