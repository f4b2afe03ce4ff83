"""Outcomes as rows of data: one JSON object a file, or one line of CSV a prediction."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Iterator
from typing import Any

from laps_client._outcome import FilePath, Outcome
from laps_client._results import Classification, Prediction
from laps_client.cli.results_file import FILE, PATH
from laps_client.cli.terminal_text import printable
from laps_client.cli.video_files import location_of
from laps_client.errors import LapsError

CSV_COLUMNS = ("path", "start_s", "end_s", "rank", "label", "index", "score", "error")
_SCORE_DIGITS = 6


def json_row(outcome: Outcome[FilePath]) -> dict[str, Any]:
    """The file's path as it was given and its absolute path, then the server's own JSON or the error."""
    path = os.fspath(outcome.path)
    names = {PATH: path, FILE: location_of(path)}
    if outcome.result is not None:
        return {**names, **outcome.result.to_dict()}
    return {**names, "error": None if outcome.error is None else error_row(outcome.error)}


def error_row(error: LapsError) -> dict[str, Any]:
    """As the server's envelope has it."""
    return {"code": error.code, "message": error.message, "hint": error.hint, "request_id": error.request_id}


def csv_rows(outcome: Outcome[FilePath]) -> Iterator[tuple[object, ...]]:
    """A row for each prediction: first of the whole file, without times, then of its segments. An error is one row."""
    path = os.fspath(outcome.path)
    if outcome.result is None:
        yield (path, "", "", "", "", "", "", outcome.error.code if outcome.error else "")
        return
    for start_s, end_s, predictions in _time_ranges(outcome.result):
        for rank, item in enumerate(predictions, 1):
            yield (path, start_s, end_s, rank, item.label, item.index, f"{item.score:.{_SCORE_DIGITS}f}", "")


def csv_text(rows: Iterable[tuple[object, ...]]) -> str:
    """The rows as lines of CSV, which end with a line feed alone."""
    return "".join(map(_csv_line, rows))


def _csv_line(row: tuple[object, ...]) -> str:
    """Python's writer quotes only the characters of its own line end, so it gets both that may break a line."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(row)
    return text.getvalue().removesuffix("\r\n") + "\n"


def plain_rows(outcome: Outcome[FilePath]) -> Iterator[tuple[str, ...]]:
    """For pipes: path, rank, label and score of each prediction; times as well where there are segments."""
    if outcome.result is None:
        return
    path = printable(os.fspath(outcome.path))
    segmented = outcome.result.segments is not None
    for start_s, end_s, predictions in _time_ranges(outcome.result):
        times = (str(start_s), str(end_s)) if segmented else ()
        for rank, item in enumerate(predictions, 1):
            yield (path, *times, str(rank), printable(item.label), f"{item.score:.{_SCORE_DIGITS}f}")


def tabbed(rows: Iterable[tuple[str, ...]]) -> str:
    """Lines with their cells separated by tabs, which no cell contains."""
    return "".join("\t".join(row) + "\n" for row in rows)


def _time_ranges(result: Classification) -> Iterator[tuple[float | str, float | str, tuple[Prediction, ...]]]:
    yield "", "", result.predictions
    for segment in result.segments or ():
        yield segment.start_s, segment.end_s, segment.predictions
