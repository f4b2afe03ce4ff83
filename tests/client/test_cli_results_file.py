"""Results files: whole lines alone, whatever was killed, and never one of another kind touched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from laps_client.cli.exit_status import USAGE, CommandFailed
from laps_client.cli.results_file import ResultsFile

ROWS = [{"path": "a.mp4", "predictions": [1]}, {"path": "b.mp4", "predictions": [2]}]
LINES = [json.dumps(row).encode() for row in ROWS]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results.jsonl"


def rows_of(path: Path) -> list[dict[str, Any]]:
    with ResultsFile(path) as results_file:
        return list(results_file.rows())


def test_what_is_written_is_read_by_the_next_run(path: Path) -> None:
    with ResultsFile(path) as results_file:
        assert list(results_file.rows()) == []
        for row in ROWS:
            results_file.append(row)
        assert list(results_file.rows()) == ROWS, "while it is open, too"
    assert rows_of(path) == ROWS
    assert path.read_bytes() == b"".join(line + b"\n" for line in LINES)


def test_each_line_is_written_at_once(path: Path) -> None:
    with ResultsFile(path) as results_file:
        results_file.append(ROWS[0])
        assert path.read_bytes() == LINES[0] + b"\n"


def test_a_name_that_is_no_text_survives(path: Path) -> None:
    with ResultsFile(path) as results_file:
        results_file.append({"predictions": [], "path": "\udcff\n.mp4"})
    assert path.read_bytes().startswith(b'{"path": "'), "by which half a line is known"
    assert rows_of(path)[0]["path"] == "\udcff\n.mp4"


@pytest.mark.parametrize("cut", range(1, len(LINES[1])))
def test_half_a_line_is_removed_before_another_is_written(path: Path, cut: int) -> None:
    path.write_bytes(LINES[0] + b"\n" + LINES[1][:cut])
    with ResultsFile(path) as results_file:
        assert list(results_file.rows()) == ROWS[:1]
        results_file.append(ROWS[1])
    assert rows_of(path) == ROWS


def test_half_a_line_longer_than_what_is_read_at_once_is_removed(path: Path) -> None:
    path.write_bytes(LINES[0] + b'\n{"path": "' + b"x" * 300_000)
    assert rows_of(path) == ROWS[:1]
    path.write_bytes(b'{"path": "' + b"x" * 300_000)
    assert rows_of(path) == []


def test_a_whole_last_line_only_lacks_its_end(path: Path) -> None:
    path.write_bytes(b"\n".join(LINES))
    with ResultsFile(path) as results_file:
        results_file.append({"path": "c.mp4"})
    assert rows_of(path) == [*ROWS, {"path": "c.mp4"}]


def test_empty_lines_are_nothing(path: Path) -> None:
    path.write_bytes(b"\n" + LINES[0] + b"\n \n")
    assert rows_of(path) == ROWS[:1]


@pytest.mark.parametrize(
    "content",
    [
        b"a text\nof lines\n",
        b"no end of a line",
        b'{"name": "another file", "without": "an end"',
        b'{"name": "one object"}',
        b'{"name": "one object"}\n',
        b"[1, 2]\n",
        b'{"path": 3}\n',
        b"\xff\xfe\n",
        b"[" * 100_000 + b"\n",
        LINES[0] + b"\nnotes",
        LINES[0][:20] + b"\n" + LINES[1] + b"\n",
    ],
    ids=[
        "text",
        "no end",
        "cut object",
        "object",
        "object line",
        "list",
        "no path",
        "bytes",
        "deep",
        "notes",
        "cut inside",
    ],
)
def test_a_file_named_by_mistake_is_refused_and_left_as_it_is(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(CommandFailed) as caught:
        rows_of(path)
    assert caught.value.status == USAGE
    assert path.read_bytes() == content


def test_two_runs_do_not_write_to_one_file(path: Path) -> None:
    with ResultsFile(path), pytest.raises(CommandFailed, match="another run"):
        ResultsFile(path)
    rows_of(path)


@pytest.mark.parametrize("name", ["missing/results.jsonl", "."])
def test_what_cannot_be_written_is_told(tmp_path: Path, name: str) -> None:
    with pytest.raises(CommandFailed) as caught:
        ResultsFile(tmp_path / name)
    assert caught.value.status == USAGE


def test_the_file_knows_itself_under_another_name(path: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(path)
    with (
        ResultsFile(path) as results_file,
        (tmp_path / "link").open("ab") as same,
        (tmp_path / "other").open("ab") as other,
    ):
        assert results_file.is_same_file(same.fileno())
        assert not results_file.is_same_file(other.fileno())
        assert not results_file.is_same_file(99)
