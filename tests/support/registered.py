"""A family in the exporter's table for as long as a test runs."""

from __future__ import annotations

import pytest

from laps_export.families import registry
from laps_export.families.family import Family


def register(monkeypatch: pytest.MonkeyPatch, family: Family) -> None:
    """Add a row, or replace the one of the same name."""
    monkeypatch.setattr(registry, "FAMILIES", {**registry.FAMILIES, family.name: family})
