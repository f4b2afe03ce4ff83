"""The table that docs/zoo.md begins with says what the variants are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from laps_export.families import registry
from laps_export.graph.complexity import measure

PAGE = Path(__file__).parents[3] / "docs" / "zoo.md"


def _rows() -> dict[str, dict[str, str]]:
    """Cells by header, for the first variant that each row of the first table names."""
    table = PAGE.read_text().split("\n\n| system |", 1)[1].split("\n\n", 1)[0].splitlines()
    header = [cell.strip() for cell in f"| system |{table[0]}".strip("|").split("|")]
    rows: dict[str, dict[str, str]] = {}
    for line in table[2:]:
        cells = dict(zip(header, (cell.strip() for cell in line.strip("|").split("|")), strict=True))
        named = re.search(r"--variant (\w+)", line)
        assert named is not None, line
        rows[named[1]] = cells
    return rows


@pytest.mark.parametrize("variant", _rows())
def test_a_row_is_what_the_variant_is(variant: str) -> None:
    cells, (family, row) = _rows()[variant], registry.find_variant(variant)
    with torch.device("meta"):
        cost = measure(registry.build(variant))
    assert cells["views"] == family.serving_of(variant).default_views
    for column, ours, poster in (
        ("GMACs a view, ours / poster", cost.gmacs, row.poster and row.poster.gmacs),
        ("parameters (M), ours / poster", cost.parameters_m, row.poster and row.poster.parameters_m),
    ):
        stated, _, theirs = cells[column].partition(" / ")
        assert float(stated) == pytest.approx(ours, abs=0.006)  # rounded to two digits
        assert (None if theirs == "-" else float(theirs)) == poster
    reported = "-" if row.reported_top1 is None else f"{row.reported_top1:.2f}"
    assert cells["top-1, authors"].startswith(reported)
