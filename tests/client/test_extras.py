"""Tables and pictures of results, and what is said where their packages are not installed."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from importlib.metadata import metadata
from pathlib import Path
from typing import Any

import pytest

from laps_client import Classification, FrameScores, Timeline
from laps_client._parsing import from_json
from laps_client.plots import plot
from support.response_bodies import BODY

FRAMES = FrameScores(index=(0, None, 4), time_s=(0.0, 0.2, 0.4), labels=("a", "b"), scores=((1, 0), (0.5, 0.5), (0, 1)))
WHOLE = replace(from_json(Classification, BODY), frames=FRAMES, segments=None, timeline=None)
TIMELINE = Timeline(labels=("a",), start_s=(0.0, 1.0, 3.0), end_s=(1.0, 2.0, 4.0), scores=((0.1,), (0.2,), (0.3,)))
IN_SEGMENTS = replace(WHOLE, frames=None, timeline=TIMELINE)


def test_predictions_as_a_table() -> None:
    table = WHOLE.to_pandas()
    assert list(table.columns) == ["label", "index", "score"]
    assert table.to_dict("records") == WHOLE.to_dict()["predictions"]


def test_frame_scores_as_a_table() -> None:
    table = FRAMES.to_pandas()
    assert table.index.name == "time_s"
    assert list(table.index) == list(FRAMES.time_s)
    assert {label: tuple(table[label]) for label in table} == {label: FRAMES.curve(label) for label in FRAMES.labels}
    assert table.loc[0.2, "b"] == 0.5


def test_a_table_of_no_frames_has_its_columns() -> None:
    table = FrameScores(index=(), time_s=(), labels=("a", "b"), scores=()).to_pandas()
    assert (list(table.columns), len(table)) == (["a", "b"], 0)


def test_a_timeline_as_a_table_is_looked_up_by_time() -> None:
    table = TIMELINE.to_pandas()
    assert (table["a"][0.0], table["a"][0.99], table["a"][1.0], table["a"][3.5]) == (0.1, 0.1, 0.2, 0.3)
    with pytest.raises(KeyError):
        table["a"][2.5]


def lines(*args: Any, **options: Any) -> list[tuple[str, str, str, list[tuple[float, float]]]]:
    found = []
    for line in plot(*args, **options).get_lines():
        points: Any = line.get_xydata()
        told = (str(line.get_label()), str(line.get_linestyle()), str(line.get_color()))
        found.append((*told, [(float(x), float(y)) for x, y in points]))
    return found


def test_a_plot_has_a_curve_a_label() -> None:
    assert lines(WHOLE) == [
        ("a", "-", "C0", [(0.0, 1.0), (0.2, 0.5), (0.4, 0.0)]),
        ("b", "-", "C1", [(0.0, 0.0), (0.2, 0.5), (0.4, 1.0)]),
    ]
    assert [line[:3] for line in lines(WHOLE, labels=["b"])] == [("b", "-", "C0")]


def test_a_second_result_is_dashed_in_the_same_colours() -> None:
    other = replace(WHOLE, frames=replace(FRAMES, labels=("b", "c")))
    assert [line[:3] for line in lines(WHOLE, other, names=("before", "after"))] == [
        ("a (before)", "-", "C0"),
        ("b (before)", "-", "C1"),
        ("b (after)", "--", "C1"),
        ("c (after)", "--", "C2"),
    ]


def test_segments_are_drawn_as_steps_with_gaps() -> None:
    ((label, _, _, points),) = lines(IN_SEGMENTS)
    assert label == "a"
    assert points[:4] == [(0.0, 0.1), (1.0, 0.1), (1.0, 0.2), (2.0, 0.2)]
    assert points[4][0] == 3.0
    assert points[4][1] != points[4][1], "a gap"
    assert points[5:] == [(3.0, 0.3), (4.0, 0.3)]


def test_a_single_frame_is_still_seen() -> None:
    one = replace(WHOLE, frames=FrameScores(index=(0,), time_s=(0.0,), labels=("a",), scores=((1,),)))
    assert plot(one).get_lines()[0].get_marker() == "o"


def test_a_label_is_no_formula() -> None:
    money = replace(WHOLE, frames=replace(FRAMES, labels=("1$ or $2", "b")))
    axes = plot(money)
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()
    assert axes.get_lines()[0].get_label() == r"1\$ or \$2"


def test_what_cannot_be_drawn_is_told() -> None:
    with pytest.raises(ValueError, match="ask for frames"):
        plot(replace(WHOLE, frames=None))
    with pytest.raises(ValueError, match="ask for frames"):
        plot(WHOLE, replace(WHOLE, frames=None))
    with pytest.raises(ValueError, match="no scores of violet"):
        plot(WHOLE, labels=["violet"])


def test_a_plot_is_saved_without_a_display_and_drawn_where_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)  # others may have imported it
    axes = plot(WHOLE)
    path = tmp_path / "out.png"
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.savefig(path)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert plot(WHOLE, ax=axes) is axes
    assert len(axes.get_lines()) == 4
    assert "matplotlib.pyplot" not in sys.modules


@pytest.mark.parametrize(
    ("code", "package", "extra"),
    [
        ("from laps_client import FrameScores; FrameScores((), (), (), ()).to_pandas()", "pandas", "pandas"),
        ("import laps_client.plots", "matplotlib", "plot"),
    ],
)
def test_a_missing_extra_says_what_to_install(code: str, package: str, extra: str) -> None:
    hidden = f"import sys; sys.modules[{package!r}] = None; {code}"
    done = subprocess.run([sys.executable, "-c", hidden], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last == (
        f"ModuleNotFoundError: {package} is not installed; it comes with: pip install 'laps-client[{extra}]'"
    )
    assert extra in (metadata("laps-client").get_all("Provides-Extra") or [])
