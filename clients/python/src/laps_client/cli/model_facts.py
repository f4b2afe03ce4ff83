"""What a model is and costs, in words that the page has too: its js/model_facts.js says the same of the same model."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_UP, Decimal

from laps_client._results import ModelSummary

UNKNOWN = "-"
_DIGITS = Decimal("0.01")


def model_facts(model: ModelSummary) -> dict[str, str]:
    """Family, default views, and what a view and a video of that many views cost."""
    gmacs = None if model.cost is None else model.cost.gmacs
    return {
        "family": f"{model.family}, {model.variant}",
        "views": model.default_views,
        "GMACs a view": UNKNOWN if gmacs is None else _figure(gmacs),
        "GMACs a video": UNKNOWN if gmacs is None else _figure(gmacs * _number_of_views(model.default_views)),
    }


def _number_of_views(views: str) -> int:
    return math.prod(int(part) for part in views.split("x"))


def _figure(value: float) -> str:
    """Rounded as JavaScript does, half up."""
    return str(Decimal(value).quantize(_DIGITS, ROUND_HALF_UP))
