"""What a line of a results file answers, and whether that is what is asked now."""

from __future__ import annotations

from typing import Any

import pytest

from laps_client.cli.run_settings import RunSegments, RunSettings, settings_of_row

ROW: dict[str, Any] = {
    "path": "a.mp4",
    "model": {"name": "m", "version": 2, "engine": "ort", "precision": "float32"},
    "views": {"temporal": 5, "spatial": 3, "used": 15},
}


def segment(index: int, start_s: float, end_s: float) -> dict[str, float]:
    return {"index": index, "start_s": start_s, "end_s": end_s}


@pytest.mark.parametrize(
    ("segments", "length_s", "expected"),
    [
        (None, None, True),
        (None, 10, False),
        ([segment(0, 0, 10), segment(1, 10, 12.5)], 10, True),
        ([segment(0, 0, 10), segment(1, 10, 12.5)], 20, False),
        ([segment(0, 0, 10), segment(1, 10, 12.5)], None, False),
        ([segment(3, 30, 33)], 10, True),
        ([segment(0, 0, 7)], 10, True),
        ([segment(0, 0, 7)], 5, False),
    ],
)
def test_a_line_tells_how_its_video_was_cut(
    segments: list[dict[str, float]] | None, length_s: float | None, expected: bool
) -> None:
    found = settings_of_row({**ROW, "segments": segments})
    assert found is not None
    wanted = RunSettings("m", 2, "5x3", None if length_s is None else RunSegments(length_s))
    assert (found.agrees(wanted), wanted.agrees(found)) == (expected, expected)


@pytest.mark.parametrize(
    "other", [RunSettings("n", 2, "5x3"), RunSettings("m", 1, "5x3"), RunSettings("m", 2, "1x1")], ids=str
)
def test_another_model_version_or_grid_is_another_question(other: RunSettings) -> None:
    found = settings_of_row(ROW)
    assert found == RunSettings("m", 2, "5x3")
    assert not found.agrees(other)


@pytest.mark.parametrize(
    "row", [{}, {**ROW, "model": "m"}, {**ROW, "segments": [{}]}, {**ROW, "segments": 3}, {**ROW, "segments": []}]
)
def test_a_line_that_does_not_tell_is_of_no_kind(row: dict[str, Any]) -> None:
    assert settings_of_row(row) is None
