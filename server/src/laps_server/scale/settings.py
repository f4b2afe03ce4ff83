"""Settings of what runs on Ray, beside those of the server; no Ray here."""

from __future__ import annotations

import os


def quiet_ray() -> None:
    """See that a Ray which this process starts reports its use to nobody; Ray reads that from the environment alone."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
