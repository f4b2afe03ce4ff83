"""What goes to standard output: only data, that of each file as soon as it is answered."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Literal, Protocol

from rich.console import Console

from laps_client._outcome import FilePath, Outcome
from laps_client.cli.exit_status import not_written
from laps_client.cli.result_block import result_block
from laps_client.cli.result_rows import CSV_COLUMNS, csv_rows, csv_text, json_row, plain_rows, tabbed
from laps_client.cli.standard_streams import send_nowhere

Format = Literal["table", "plain", "json", "jsonl", "csv"]


class ResultsWriter(Protocol):
    """Takes outcomes in the order in which they come."""

    def write(self, outcome: Outcome[FilePath]) -> None:
        """Write one; a format without a place for errors leaves them out."""

    def close(self) -> None:
        """Write what the format ends with."""


def writer_for(chosen: Format, aside: Callable[[], AbstractContextManager[None]]) -> ResultsWriter:
    """The writer of a format.

    Args:
        chosen: the format.
        aside: keeps progress off the terminal while something is printed to it.
    """
    writers: dict[Format, Callable[[], ResultsWriter]] = {
        "table": lambda: TableWriter(aside),
        "plain": PlainWriter,
        "json": JsonWriter,
        "jsonl": JsonLinesWriter,
        "csv": CsvWriter,
    }
    return writers[chosen]()


def emit(text: str) -> None:
    """Write data at once; file names that are not text pass as the bytes that they are.

    Raises:
        BrokenPipeError: nobody reads standard output any more.
        CommandFailed: it cannot be written, as on a full disk.
    """
    try:
        sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as exc:
        send_nowhere(sys.stdout)
        raise not_written("standard output", exc) from exc


class TableWriter:
    """Blocks for a terminal."""

    def __init__(self, aside: Callable[[], AbstractContextManager[None]]) -> None:
        self._console = Console(highlight=False)
        self._aside = aside

    def write(self, outcome: Outcome[FilePath]) -> None:
        """Print the file's result_block; errors go to standard error."""
        if outcome.result is not None:
            ascii_only = not self._console.encoding.lower().startswith("utf")
            with self._aside():
                self._console.print(result_block(outcome, ascii_only=ascii_only))

    def close(self) -> None:
        """Nothing ends it."""


class PlainWriter:
    """Cells separated by tabs, for pipes."""

    def write(self, outcome: Outcome[FilePath]) -> None:
        """Print the file's rows; errors go to standard error."""
        emit(tabbed(plain_rows(outcome)))

    def close(self) -> None:
        """Nothing ends it."""


class JsonLinesWriter:
    """One object a line."""

    def write(self, outcome: Outcome[FilePath]) -> None:
        """Print the file's line."""
        emit(json.dumps(json_row(outcome)) + "\n")

    def close(self) -> None:
        """Nothing ends it."""


class JsonWriter:
    """One array, written element by element and closed even if the command is interrupted."""

    def __init__(self) -> None:
        self._before = "[\n"

    def write(self, outcome: Outcome[FilePath]) -> None:
        """Print the file's element."""
        emit(self._before + json.dumps(json_row(outcome)))
        self._before = ",\n"

    def close(self) -> None:
        """End the array."""
        emit("[]\n" if self._before == "[\n" else "\n]\n")


class CsvWriter:
    """One line a prediction."""

    def __init__(self) -> None:
        emit(csv_text([CSV_COLUMNS]))

    def write(self, outcome: Outcome[FilePath]) -> None:
        """Print the file's lines."""
        emit(csv_text(csv_rows(outcome)))

    def close(self) -> None:
        """Nothing ends it."""


class NullWriter:
    """For standard output that is the results file itself, which already has each line."""

    def write(self, outcome: Outcome[FilePath]) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


def is_terminal(descriptor: int) -> bool:
    """Whether it is a terminal."""
    return os.isatty(descriptor)
