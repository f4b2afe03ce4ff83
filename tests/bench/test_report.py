"""A run is written, read again, and put between the marks of its page."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench.measured import Run

from bench import measured, report

from .test_figures import MACHINE, MEMORY, MODEL

RUN = Run("2026-01-02T03:04:05+00:00", False, MACHINE, [MODEL], MEMORY, notes=["triton was not run: no room"])


def test_a_run_is_read_as_it_was_written(tmp_path: Path) -> None:
    measured.write(RUN, tmp_path / "deeper" / "run.json")
    assert measured.read(tmp_path / "deeper" / "run.json") == RUN


def test_the_table_says_what_is_short_and_the_notes_say_who_was_left_out() -> None:
    text = report.markdown(RUN)
    assert "Measured 2026-01-02 on a processor" in text
    assert text.count("**short**") == 2  # decoding and memory
    assert "wrong: not timed: another label" in text
    assert "openvino int8: not for the server to choose: no record" in text
    assert "triton was not run: no room" in text


def test_costs_are_over_those_of_this_server() -> None:
    costs = report.relative_costs(MODEL)
    assert costs["this server"] == 1
    assert costs["fast (1 x 2 threads)"] == pytest.approx(13 / 5.2)
    assert "wrong (1 x 2 threads)" not in costs


def test_only_what_is_between_the_marks_is_replaced() -> None:
    page = f"# Title\n\n{report.BEGIN}\nold\n{report.END}\nafter\n"
    assert report.fill(page, "new\n") == f"# Title\n\n{report.BEGIN}\nnew\n{report.END}\nafter\n"


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="bench: begin"):
        report.fill("# Title\n", "new\n")


def test_the_page_of_this_project_has_the_marks() -> None:
    assert report.fill(report.PAGE.read_text(), "new\n")


def test_plots_are_drawn_for_what_was_measured(tmp_path: Path) -> None:
    report.write_plots(RUN, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {report.COSTS, report.MEMORY}
    assert "<svg" in (tmp_path / report.COSTS).read_text()
