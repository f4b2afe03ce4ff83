"""How near to float32 another precision's answers must be to be served unasked.

The first group is held by the exporter, on views of the user's videos, and written into the manifest; the last by a
server when it starts, on the few views that it ships. ``laps_export.quantize.parity_limits`` has the same numbers.
"""

from __future__ import annotations

MIN_VIEWS = 1000
MIN_LABELS = 20  # different top labels among the views; all labels of a model that has fewer
MIN_AGREEMENT = 0.995  # share of the views whose top label stays
MAX_MEAN_SHIFT = 0.01  # of the top label's score, absolute
MAX_P99_SHIFT = 0.05

MAX_SHIFT_AT_START = 0.05  # of any view's top score; and no top label may change
