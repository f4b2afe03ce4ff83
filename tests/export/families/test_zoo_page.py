"""The table that docs/zoo.md begins with says what the variants are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from laps_export.families import registry
from laps_export.graph.complexity import measure

PAGE = Path(__file__).parents[3] / "docs" / "zoo.md"


def _rows() -> dict[tuple[str, ...], dict[str, str]]:
    """Cells by header, for the variants whose commands each row of the first table has: two where a system is two."""
    table = PAGE.read_text().split("\n\n| system |", 1)[1].split("\n\n", 1)[0].splitlines()
    header = [cell.strip() for cell in f"| system |{table[0]}".strip("|").split("|")]
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    for line in table[2:]:
        cells = dict(zip(header, (cell.strip() for cell in line.strip("|").split("|")), strict=True))
        named = tuple(re.findall(r"--variant (\w+)", line))
        assert named, line
        rows[named] = cells
    return rows


@pytest.mark.parametrize("variants", _rows(), ids="+".join)
def test_a_row_is_what_its_variants_are(variants: tuple[str, ...]) -> None:
    cells, found = _rows()[variants], [registry.find_variant(variant) for variant in variants]
    with torch.device("meta"):
        costs = [measure(registry.build(variant)) for variant in variants]
    stated, _, gmacs = cells["GMACs a view, ours / poster"].partition(" / ")
    # rounded to two digits
    assert [float(one) for one in stated.split(" + ")] == pytest.approx([cost.gmacs for cost in costs], abs=0.006)
    stated, _, parameters = cells["parameters (M), ours / poster"].partition(" / ")
    for variant, (family, row), cost in zip(variants, found, costs, strict=True):
        assert cells["views"] == family.serving_of(variant).default_views
        assert float(stated) == pytest.approx(cost.parameters_m, abs=0.006)
        assert _figure(gmacs) == (row.poster and row.poster.gmacs)
        assert _figure(parameters) == (row.poster and row.poster.parameters_m)
        # What the poster sums up is one row here too.
        assert row.poster is None or (row.poster.gmacs_of or (variant,)) == variants
    reported = ["-" if row.reported_top1 is None else f"{row.reported_top1:.2f}" for _, row in found]
    assert cells["top-1, authors"].startswith("; ".join(reported))


def _figure(cell: str) -> float | None:
    return None if cell == "-" else float(cell)
