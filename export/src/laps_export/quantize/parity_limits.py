"""How near to float32 a quantised graph's answers must be.

``laps_server.models.parity_limits`` has the same numbers; a test compares them.
"""

from __future__ import annotations

MIN_VIEWS = 1000
MIN_LABELS = 20
"""Different top labels among the views; all labels of a model that has fewer."""
MIN_AGREEMENT = 0.995
"""Share of the views whose top label stays."""
MAX_MEAN_SHIFT = 0.01
"""Of the top label's score, absolute."""
MAX_P99_SHIFT = 0.05


def labels_needed(classes: int) -> int:
    """How many different top labels views must have for a model of so many."""
    return min(MIN_LABELS, classes)
