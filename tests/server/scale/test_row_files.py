"""A batch job's files of rows: whole or not there, each video once, and one run at a time."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fsspec
import pytest
from pyarrow import parquet

from laps_server.errors import BadParameter, VideoCorrupt
from laps_server.scale.batch_rows import SCHEMA, error_row, table_of
from laps_server.scale.row_files import FORMATS, Done, RowFiles, RowFormat

QUESTION = {"model": "colours", "version": 1, "labels": ["red", "blue"]}


def answered(path: str, *, segments: int | None = None) -> list[dict[str, Any]]:
    row = {"schema_version": 1, "path": path, "model": "colours", "version": 1}
    if segments is None:
        return [row]
    return [{**row, "segment": place, "segments": segments} for place in range(segments)]


def write(files: RowFiles, rows: Sequence[dict[str, Any]]) -> str:
    return files.write(list(dict.fromkeys(row["path"] for row in rows)), table_of(list(rows)))


def paths(files: RowFiles) -> list[str]:
    return sorted(row["path"] for row in files.rows())


@pytest.mark.parametrize("row_format", FORMATS)
@pytest.mark.parametrize("scheme", ["", "file://", "memory://"])
def test_what_was_written_is_done_in_the_next_run(tmp_path: Path, scheme: str, row_format: RowFormat) -> None:
    url = f"memory://{uuid.uuid4().hex}/rows" if scheme == "memory://" else f"{scheme}{tmp_path}/rows"
    files = RowFiles(url, row_format).begin(QUESTION)
    assert files.settle().videos == frozenset()
    write(files, [*answered("a.mp4"), error_row("b.mp4", VideoCorrupt("no frame", hint="send it again"))])
    write(files, answered("c.mp4", segments=3))
    again = RowFiles(url, row_format).begin(QUESTION)
    done = again.settle()
    assert done == Done(frozenset({"a.mp4", "b.mp4", "c.mp4"}), failed=1)
    assert [row["error_hint"] for row in again.rows() if row["path"] == "b.mp4"] == ["send it again"]
    assert all(list(row) == SCHEMA.names for row in again.rows())


@pytest.mark.parametrize("row_format", FORMATS)
def test_a_file_that_was_not_finished_is_never_read(tmp_path: Path, row_format: RowFormat) -> None:
    files = RowFiles(str(tmp_path), row_format).begin(QUESTION)
    whole = (tmp_path / write(files, answered("a.mp4"))).read_bytes()
    (tmp_path / f".part-00.{row_format}.unfinished-1234").write_bytes(whole[: len(whole) // 2])
    again = RowFiles(str(tmp_path), row_format).begin(QUESTION)
    assert again.settle().videos == {"a.mp4"}
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", f".{row_format}"]


@pytest.mark.parametrize("row_format", FORMATS)
def test_a_damaged_file_is_set_aside_and_its_videos_are_done_again(
    tmp_path: Path, row_format: RowFormat, caplog: pytest.LogCaptureFixture
) -> None:
    files = RowFiles(str(tmp_path), row_format).begin(QUESTION)
    write(files, answered("a.mp4"))
    damaged = tmp_path / write(files, answered("b.mp4"))
    damaged.write_bytes(damaged.read_bytes()[:-7])
    with caplog.at_level(logging.WARNING):
        assert files.settle().videos == {"a.mp4"}
    assert damaged.name in caplog.text
    assert paths(files) == ["a.mp4"]


def test_a_video_with_a_part_of_its_segments_is_done_again(tmp_path: Path) -> None:
    files = RowFiles(str(tmp_path)).begin(QUESTION)
    write(files, [*answered("a.mp4"), *answered("film.mp4", segments=3)[:2]])
    assert files.settle().videos == {"a.mp4"}
    assert paths(files) == ["a.mp4"]


def test_a_video_that_is_there_twice_is_done_again(tmp_path: Path) -> None:
    files = RowFiles(str(tmp_path)).begin(QUESTION)
    write(files, [*answered("a.mp4"), *answered("b.mp4")])
    write(files, [*answered("b.mp4"), *answered("c.mp4")])
    assert files.settle().videos == {"a.mp4", "c.mp4"}
    assert paths(files) == ["a.mp4", "c.mp4"]


def test_the_same_videos_make_the_same_file(tmp_path: Path) -> None:
    files = RowFiles(str(tmp_path)).begin(QUESTION)
    assert write(files, answered("a.mp4")) == write(files, answered("a.mp4"))
    assert paths(files) == ["a.mp4"]


def test_failed_videos_are_forgotten_where_they_are_to_be_done_again(tmp_path: Path) -> None:
    files = RowFiles(str(tmp_path)).begin(QUESTION)
    write(files, [*answered("a.mp4"), error_row("b.mp4", VideoCorrupt("no frame"))])
    write(files, [error_row("c.mp4", VideoCorrupt("no frame"))])
    assert files.settle(forget_failed=True).videos == {"a.mp4"}
    assert paths(files) == ["a.mp4"]


def test_a_run_that_another_has_followed_writes_nothing(tmp_path: Path) -> None:
    first = RowFiles(str(tmp_path)).begin(QUESTION)
    second = RowFiles(str(tmp_path)).begin(QUESTION)
    with pytest.raises(BadParameter, match="another run"):
        write(first, answered("a.mp4"))
    write(second, answered("b.mp4"))
    assert paths(second) == ["b.mp4"]


@pytest.mark.parametrize(
    ("question", "row_format"),
    [({**QUESTION, "version": 2}, "parquet"), ({**QUESTION, "labels": []}, "parquet"), (QUESTION, "jsonl")],
)
def test_rows_of_another_question_are_not_mixed_in(
    tmp_path: Path, question: dict[str, Any], row_format: RowFormat
) -> None:
    RowFiles(str(tmp_path)).begin(QUESTION)
    with pytest.raises(BadParameter, match="another question"):
        RowFiles(str(tmp_path), row_format).begin(question)


def test_files_of_somebody_else_are_not_taken_for_rows(tmp_path: Path) -> None:
    (tmp_path / "part-0.parquet").write_bytes(b"theirs")
    with pytest.raises(BadParameter, match="not what they are"):
        RowFiles(str(tmp_path)).begin(QUESTION)


def test_attempts_are_counted_until_the_rows_are_there(tmp_path: Path) -> None:
    files = RowFiles(str(tmp_path)).begin(QUESTION)
    assert [files.attempt(["a.mp4"]), files.attempt(["a.mp4"]), files.attempt(["b.mp4"])] == [1, 2, 1]
    write(files, answered("a.mp4"))
    assert files.attempt(["a.mp4"]) == 1
    files.settle()
    assert files.attempt(["b.mp4"]) == 1, "another run begins anew"


def test_parquet_readers_see_rows_alone(tmp_path: Path) -> None:
    files = RowFiles(str(tmp_path)).begin(QUESTION)
    write(files, answered("a.mp4"))
    files.attempt(["b.mp4"])
    assert parquet.read_table(tmp_path).schema.names == SCHEMA.names


def test_lines_of_json_are_read_by_anybody(tmp_path: Path) -> None:
    files = RowFiles(f"file://{tmp_path}", "jsonl").begin(QUESTION)
    with fsspec.open(f"{tmp_path}/{write(files, answered('a.mp4', segments=2))}", "rt") as lines:
        assert [json.loads(line)["segment"] for line in lines] == [0, 1]
