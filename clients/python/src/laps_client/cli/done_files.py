"""``--skip-done``: which videos an earlier run has done, and whether this run asks for the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from laps_client._async_client import AsyncLapsClient
from laps_client._options import Options
from laps_client.cli.exit_status import wrong_use
from laps_client.cli.results_file import TRUTH, ResultsFile, file_of_row
from laps_client.cli.run_settings import RunSettings, check_agree, pinned, requested_settings, settings_of_row
from laps_client.cli.video_files import location_of
from laps_client.errors import LapsError

_GIVEN_UP = "decoder_crashed"


def is_given_up(error: LapsError) -> bool:
    """Whether the file took the server's decoder down, twice there: it would do so again, whenever it is sent."""
    return error.code == _GIVEN_UP


class DoneFiles:
    """Which videos have a line in a results file: of a result, or of an error for which they were given up.

    Attributes:
        skipped: those of them that this run was given again.

    Raises:
        CommandFailed: the file is of ``laps evaluate``.
    """

    def __init__(self, results_file: ResultsFile | None) -> None:
        self._results_file = results_file
        self._earlier: set[str] = set()
        self._settings: set[RunSettings] = set()
        self._taken: set[str] = set()
        self.skipped: set[str] = set()
        for row in () if results_file is None else results_file.rows():
            if _is_answer(row) or _is_given_up(row):
                self._earlier.add(file_of_row(row))
                if (settings := settings_of_row(row)) is not None:
                    self._settings.add(settings)

    async def agreed(self, client: AsyncLapsClient, options: Options) -> Options:
        """The options with the model and version named, checked against the settings of the lines that are there.

        Raises:
            CommandFailed: they are others, or there is no such model.
        """
        if self._results_file is None:
            return options
        wanted, _ = await requested_settings(client, options)
        for settings in self._settings:
            check_agree(self._results_file.path, [settings], [wanted])
        return pinned(options, wanted)

    def skipped_rows(self) -> Iterator[Mapping[str, Any]]:
        """The lines of the skipped videos."""
        if self._results_file is not None and self.skipped:
            yield from (
                row for row in self._results_file.rows() if _is_answer(row) and file_of_row(row) in self.skipped
            )

    def without(self, paths: Iterable[Path]) -> Iterator[Path]:
        """The videos without a line, each once."""
        for path in paths:
            if self._results_file is None:
                yield path
            elif (file := location_of(path)) in self._earlier:
                self.skipped.add(file)
            elif file not in self._taken:
                self._taken.add(file)
                yield path


def _is_given_up(row: Mapping[str, Any]) -> bool:
    error = row.get("error")
    return isinstance(error, Mapping) and error.get("code") == _GIVEN_UP


def _is_answer(row: Mapping[str, Any]) -> bool:
    """Whether a line is a result; files that --jsonl printed have lines of errors too."""
    if TRUTH in row:
        raise wrong_use("the results file is one of laps evaluate", "give a new one to --skip-done")
    return "predictions" in row
