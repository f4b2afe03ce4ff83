"""``laps classify``."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from laps_client._async_client import AsyncLapsClient
from laps_client._options import Options
from laps_client._outcome import FilePath, Outcome
from laps_client.cli import exit_status
from laps_client.cli.connection import Connection, check_ready, outcomes_of
from laps_client.cli.display import Display
from laps_client.cli.exit_status import wrong_use
from laps_client.cli.figure import CurvesFigure
from laps_client.cli.result_rows import json_row
from laps_client.cli.results_file import TRUTH, ResultsFile, file_of
from laps_client.cli.results_writer import Format, NullWriter, ResultsWriter, writer_for
from laps_client.cli.run_settings import RunSettings, check_agrees, pinned, requested_settings, settings_of_row
from laps_client.cli.video_files import check_paths, find_videos, location_of


@dataclass(frozen=True, slots=True)
class ClassifyRequest:
    """What the command was asked for."""

    paths: list[Path]
    options: Options
    format: Format
    concurrency: int
    skip_done: Path | None
    plot: Path | None


class DoneFiles:
    """Which files have their line in a results file.

    Attributes:
        skipped: those that were asked for again.

    Raises:
        CommandFailed: the file is of ``laps evaluate``.
    """

    def __init__(self, results_file: ResultsFile | None) -> None:
        self._journal = results_file
        self._earlier: set[str] = set()
        self._kinds: set[RunSettings] = set()
        self._taken: set[str] = set()
        self.skipped: set[str] = set()
        for row in () if results_file is None else results_file.rows():
            if _is_answer(row):
                self._earlier.add(file_of(row))
                if (kind := settings_of_row(row)) is not None:
                    self._kinds.add(kind)

    async def agreed(self, client: AsyncLapsClient, options: Options) -> Options:
        """The options, so that whatever gets a line answers the same question as the lines that are there.

        Raises:
            CommandFailed: it would be another one, or there is no such model.
        """
        if self._journal is None:
            return options
        wanted, _ = await requested_settings(client, options)
        for kind in self._kinds:
            check_agrees(self._journal.path, kind, wanted)
        return pinned(options, wanted)

    def skipped_rows(self) -> Iterator[Mapping[str, Any]]:
        """The lines of the files that were skipped."""
        if self._journal is not None and self.skipped:
            yield from (row for row in self._journal.rows() if _is_answer(row) and file_of(row) in self.skipped)

    def without(self, paths: Iterable[Path]) -> Iterator[Path]:
        """The files that need a line; one that is found twice needs it once."""
        for path in paths:
            if self._journal is None:
                yield path
            elif (file := location_of(path)) in self._earlier:
                self.skipped.add(file)
            elif file not in self._taken:
                self._taken.add(file)
                yield path


async def classify(connection: Connection, request: ClassifyRequest, display: Display) -> int:
    """Classify files and folders; returns the exit status.

    Raises:
        CommandFailed: the command is wrong, or there is no server.
    """
    check_paths(request.paths)
    picture = None if request.plot is None else CurvesFigure(request.plot)
    with ExitStack() as stack:
        results_file = None if request.skip_done is None else stack.enter_context(ResultsFile(request.skip_done))
        output = results_writer(request.format, results_file, display)
        stack.callback(output.close)
        done = DoneFiles(results_file)
        paths = done.without(find_videos(request.paths, display.unreadable))
        found = 0
        async with connection.client() as client:
            await check_ready(client)
            options = await done.agreed(client, request.options)
            results = outcomes_of(client, paths, options, concurrency=request.concurrency, display=display)
            async with aclosing(results) as outcomes:
                async for outcome in outcomes:
                    found += 1
                    keep(outcome, results_file, output)
                    if picture is not None:
                        picture.add(outcome)
        if done.skipped:
            display.say(f"{len(done.skipped)} files were done already")
        if not found and not done.skipped and not display.failures:
            raise wrong_use("no video found", "folders are searched for names that videos have, as clip.mp4")
        if picture is not None:
            for row in done.skipped_rows():
                picture.add_row(row)
            picture.save(display)
    return exit_status.SOME_FAILED if display.failures else exit_status.OK


def keep(outcome: Outcome[FilePath], results_file: ResultsFile | None, output: ResultsWriter) -> None:
    """Write an answer down first, and show it then; errors are not written down, so that a next run tries again."""
    if results_file is not None and outcome.result is not None:
        results_file.append(json_row(outcome))
    output.write(outcome)


def results_writer(chosen: Format, results_file: ResultsFile | None, display: Display) -> ResultsWriter:
    """The writer to standard output, which may be the results file itself.

    Raises:
        CommandFailed: it is, and the format is another.
    """
    if results_file is None or not results_file.is_same_file(sys.stdout.fileno()):
        return writer_for(chosen, display.aside)
    if chosen != "jsonl":
        raise wrong_use("standard output is the results file", "add --jsonl, or leave the redirection out")
    return NullWriter()


def _is_answer(row: Mapping[str, Any]) -> bool:
    """Whether a line answers its file: what --jsonl printed has lines of errors too."""
    if TRUTH in row:
        raise wrong_use("the results file is one of laps evaluate", "give a new one to --skip-done")
    return "predictions" in row
