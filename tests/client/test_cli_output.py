"""What the command line draws and writes, as pure functions."""

from __future__ import annotations

import csv
import doctest
import io
import os
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from laps_client import BadVideo, Classification, FrameScores, Outcome, Prediction, SegmentAnswer, Timeline, Views
from laps_client._parsing import from_json
from laps_client.cli import scoring, terminal_text, video_files
from laps_client.cli.result_block import doubt, result_block, runs
from laps_client.cli.result_rows import CSV_COLUMNS, csv_rows, csv_text, json_row, plain_rows, tabbed
from laps_client.cli.terminal_text import bar, clock, printable, sparkline
from laps_client.cli.video_files import find_videos, is_video_name
from support.response_bodies import BODY

WHOLE = replace(from_json(Classification, BODY), segments=None, timeline=None)
ERROR = BadVideo("no video; really", code="video_corrupt", hint="send one", request_id="r")


@pytest.mark.parametrize("module", [terminal_text, scoring, video_files], ids=lambda module: module.__name__)
def test_examples_in_docstrings_are_true(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "options", "expected"),
    [
        ([], {}, ""),
        ([0], {}, "▁"),
        ([1], {}, "█"),
        ([2, -1], {}, "█▁"),
        ([0.1, 0.2], {"top": 0.2}, "▅█"),
        ([0, 0], {"top": 0.0}, "▁▁"),
        ([0, 1, 0, 1], {"width": 2}, "▅▅"),
        ([0, 0, 1], {"width": 2}, "▁▅"),
        ([0, 1], {"ascii_only": True}, "_#"),
    ],
)
def test_a_sparkline_is_as_wide_as_it_may_and_keeps_its_scale(
    values: list[float], options: dict[str, float], expected: str
) -> None:
    assert sparkline(values, **{"width": 8, **options}) == expected  # type: ignore[arg-type]


def test_a_sparkline_of_many_values_has_just_the_width() -> None:
    assert all(len(sparkline([0.5] * count, width=40)) == min(40, count) for count in range(200))


@pytest.mark.parametrize(("share", "expected"), [(0, "    "), (1, "████"), (2, "████"), (-1, "    "), (0.6, "██▍ ")])
def test_a_bar_has_always_its_width(share: float, expected: str) -> None:
    assert bar(share, 4) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("clip.mp4", "clip.mp4"),
        ("über 推", "über 推"),
        ("a\nb\tc", "a\\nb\\tc"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\udcff", "\\udcff"),
        ("\u202egnp", "\\u202egnp"),
    ],
    ids=ascii,
)
def test_a_name_moves_no_cursor(given: str, expected: str) -> None:
    assert printable(given) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0, "0:00"), (59.96, "1:00"), (3599.99, "1:00:00"), (7325, "2:02:05")]
)
def test_a_clock_carries(seconds: float, expected: str) -> None:
    assert clock(seconds) == expected


def segment(start_s: float, end_s: float, label: str, score: float = 0.5) -> SegmentAnswer:
    return SegmentAnswer(0, start_s, end_s, (Prediction(label, 0, score),), None, Views(1, 1, 1), None, ())


def test_neighbours_of_one_label_are_one_run_up_to_a_gap() -> None:
    segments = [
        segment(0, 1, "a", 0.4),
        segment(1, 2, "a", 0.6),
        segment(2, 3, "b"),
        segment(5, 6, "b"),
        segment(6, 7, "a"),
    ]
    assert runs(segments) == [(0, 2, "a", 0.5), (2, 3, "b", 0.5), (5, 6, "b", 0.5), (6, 7, "a", 0.5)]
    assert runs([]) == []


def shown(result: Classification, **options: bool) -> list[str]:
    console = Console(file=io.StringIO(), width=100)
    console.print(result_block(Outcome("a[b].mp4\n", result, None), **options))
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_a_block_has_a_line_a_label_with_its_bar_and_sparkline() -> None:
    frames = FrameScores(index=(0, 1), time_s=(0.0, 1.0), labels=("a", "[red]b"), scores=((1, 0), (0.5, 0.5)))
    predictions = (Prediction("a", 1, 0.75), Prediction("[red]b", 0, 0.25))
    title, first, second, words = shown(replace(WHOLE, frames=frames, predictions=predictions))
    assert title == r"a[b].mp4\n  2.0 s, h264 64x48, m 1 at 1x1, 0.0 s"
    assert first.split() == ["a", "0.750", "███████████████", "█▅"]
    assert second.split() == ["[red]b", "0.250", "█████", "▁▅"]
    assert words == "  far ahead of the next label"


@pytest.mark.parametrize("kind", ["frame", "step", "clip"])
def test_scores_over_time_have_a_sparkline_whatever_their_rows_are(kind: str) -> None:
    frames = FrameScores(
        index=(None, None, None),
        time_s=(0.5, 1.0, 1.5),
        labels=("a", "b"),
        scores=((1, 0), (0.5, 0.5), (0, 1)),
        kind=kind,
        from_s=(0.0, 0.5, 1.0),
        to_s=(1.0, 1.5, 2.0),
    )
    _, first, *_ = shown(replace(WHOLE, frames=frames))
    assert first.split() == ["a", "0.750", "███████████████", "█▅▁"]


@pytest.mark.parametrize(
    ("agreement", "margin", "used", "words"),
    [
        (1.0, 0.97, 6, "all 6 views agree; far ahead of the next label"),
        (0.8, 0.4, 15, "12 of 15 views agree; ahead of the next label"),
        (2 / 3, 0.4, 3, "2 of 3 views agree; ahead of the next label"),
        (0.4, 0.4, 15, "in doubt: 6 of 15 views agree; ahead of the next label"),
        (0.2, 0.4, 5, "in doubt: 1 of 5 views agrees; ahead of the next label"),
        (0.0, 0.01, 3, "in doubt: none of 3 views agrees; the next label is close"),
        (1.0, 0.01, 6, "in doubt: all 6 views agree; the next label is close"),
        (1.0, 0.5, 1, "far ahead of the next label"),
        (1.0, 0.01, 1, "in doubt: the next label is close"),
        (None, None, 6, None),
    ],
    ids=[
        "sure",
        "most agree",
        "just as many as are enough",
        "few agree",
        "one agrees",
        "none agrees",
        "near the next",
        "one view",
        "one view, near the next",
        "an older server",
    ],
)
def test_doubt_is_told_in_words(agreement: float | None, margin: float | None, used: int, words: str | None) -> None:
    first = 0.5 + (margin or 0) / 2
    predictions = (Prediction("a", 1, first), Prediction("b", 0, 1 - first))
    views = replace(WHOLE.views, used=used)
    result = replace(WHOLE, predictions=predictions, agreement=agreement, margin=margin, views=views)
    assert doubt(result) == words


@pytest.mark.parametrize(
    ("scores", "margin", "words"),
    [
        ([0.75], 0.75, "all 6 views agree"),
        ([0.04], 0.04, "all 6 views agree"),
        ([0.75], 0.7, "all 6 views agree; far ahead of the next label"),
        ([1.0, 1e-30], 1.0, "all 6 views agree; far ahead of the next label"),
        ([0.97, 0.95], 0.02, "all 6 views agree; the next label is close"),
        ([0.3, 0.28], 0.02, "in doubt: all 6 views agree; the next label is close"),
    ],
    ids=[
        "one label ranked",
        "and with a low score",
        "top_k is 1",
        "all for one",
        "two that may both be true",
        "rivals",
    ],
)
def test_what_is_behind_the_first_label_says_how_far_to_trust_it(
    scores: list[float], margin: float, words: str
) -> None:
    predictions = tuple(Prediction(f"label {i}", i, score) for i, score in enumerate(scores))
    views = replace(WHOLE.views, used=6)
    assert doubt(replace(WHOLE, predictions=predictions, agreement=1.0, margin=margin, views=views)) == words


def test_a_block_without_scores_over_time_has_no_sparkline() -> None:
    _, first, *_ = shown(replace(WHOLE, frames=None))
    assert first.split() == ["a", "0.750", "███████████████"]


def test_a_block_of_segments_has_a_line_a_run() -> None:
    timeline = Timeline(labels=("a", "b"), start_s=(0.0, 70.0), end_s=(70.0, 90.5), scores=((1, 0), (0, 1)))
    segments = (segment(0, 70, "a", 1.0), segment(70, 90.5, "b", 0.25))
    lines = shown(replace(WHOLE, frames=None, timeline=timeline, segments=segments))
    assert lines[1].split() == ["a", "0.750", "███████████████", "█▁"]
    assert lines[4].split() == ["0:00", "to", "1:10", "a", "1.000", "█" * 20]
    assert lines[5].split() == ["1:10", "to", "1:30.5", "b", "0.250", "█████"]


def test_a_terminal_without_unicode_gets_ascii() -> None:
    assert all(line.isascii() for line in shown(WHOLE, ascii_only=True))


def test_a_row_of_json_is_the_servers_own_under_the_path_and_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = {"path": "a.mp4", "file": str(tmp_path / "a.mp4")}
    assert json_row(Outcome("a.mp4", WHOLE, None)) == {**names, **WHOLE.to_dict()}
    assert json_row(Outcome(Path("a.mp4"), None, ERROR)) == {
        **names,
        "error": {"code": "video_corrupt", "message": "no video; really", "hint": "send one", "request_id": "r"},
    }
    assert next(iter(json_row(Outcome("a.mp4", WHOLE, None)))) == "path"


def test_csv_has_a_line_a_prediction_and_one_an_error() -> None:
    result = replace(WHOLE, segments=(segment(0, 1.5, "x"),))
    rows = [*csv_rows(Outcome('a "b",c.mp4', result, None)), *csv_rows(Outcome("bad.mp4", None, ERROR))]
    assert csv_text([CSV_COLUMNS, *rows]).splitlines() == [
        "path,start_s,end_s,rank,label,index,score,error",
        '"a ""b"",c.mp4",,,1,a,1,0.750000,',
        '"a ""b"",c.mp4",,,2,b,0,0.250000,',
        '"a ""b"",c.mp4",0,1.5,1,x,0,0.500000,',
        "bad.mp4,,,,,,,video_corrupt",
    ]


@pytest.mark.parametrize("name", ["a\rb.mp4", "a\nb.mp4", "a\r\nb.mp4", 'a"b,c.mp4', " a.mp4"])
def test_csv_reads_back_as_one_row_whatever_the_name(name: str) -> None:
    text = csv_text([(name, 1), ("b", 2)])
    assert list(csv.reader(io.StringIO(text, newline=""))) == [[name, "1"], ["b", "2"]]
    assert text.endswith("b,2\n")


def test_plain_rows_are_for_pipes() -> None:
    assert tabbed(plain_rows(Outcome("a\tb.mp4", WHOLE, None))) == (
        "a\\tb.mp4\t1\ta\t0.750000\na\\tb.mp4\t2\tb\t0.250000\n"
    )
    assert tabbed(plain_rows(Outcome("bad.mp4", None, ERROR))) == ""
    in_segments = replace(WHOLE, segments=(segment(0, 1.5, "x"),))
    assert tabbed(plain_rows(Outcome("a.mp4", in_segments, None))).splitlines() == [
        "a.mp4\t\t\t1\ta\t0.750000",
        "a.mp4\t\t\t2\tb\t0.250000",
        "a.mp4\t0\t1.5\t1\tx\t0.500000",
    ]


def test_folders_are_searched_in_order_for_names_of_videos(tmp_path: Path) -> None:
    names = [
        "b/2.MP4",
        "b/1.mkv",
        "a/x.webm",
        "a/.hidden.mp4",
        ".git/y.mp4",
        "a/notes.txt",
        "z.mov",
        "a/part.mp4.crdownload",
    ]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "link.mp4").symlink_to(tmp_path / "z.mov")
    odd = tmp_path / "a" / "notes.txt"
    found = [path.relative_to(tmp_path).as_posix() for path in find_videos([odd, tmp_path])]
    assert found == ["a/notes.txt", "link.mp4", "z.mov", "a/x.webm", "b/1.mkv", "b/2.MP4"]


def test_pipes_in_folders_are_left_out_and_links_to_nothing_are_told_later(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "null.mp4").symlink_to("/dev/null")
    (tmp_path / "gone.mp4").symlink_to("missing")
    (tmp_path / "a.mp4").write_bytes(b"")
    (tmp_path / "link.mp4").symlink_to("a.mp4")
    assert [path.name for path in find_videos([tmp_path])] == ["a.mp4", "gone.mp4", "link.mp4"]
    assert list(find_videos([tmp_path / "pipe.mp4"])) == [tmp_path / "pipe.mp4"], "named by itself"


def test_a_search_is_lazy_and_a_folder_that_cannot_be_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "clip.mp4").touch()
    told: list[OSError] = []
    found = find_videos([tmp_path], told.append)
    assert next(found).parent.name == "a"
    (tmp_path / "b" / "clip.mp4").unlink()
    (tmp_path / "b").rmdir()
    assert list(found) == []
    assert [error.filename for error in told] == [str(tmp_path / "b")]


@pytest.mark.parametrize(
    ("name", "expected"), [("a.mp4", True), ("a.TS", True), (".a.mp4", False), ("mp4", False), ("a.txt", False)]
)
def test_names_of_videos(name: str, expected: bool) -> None:
    assert is_video_name(name) == expected
