"""``laps classify``."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from laps_client.async_client import AsyncLapsClient
from laps_client.calls import Options
from laps_client.cli import exits
from laps_client.cli.display import Display
from laps_client.cli.exits import wrong_use
from laps_client.cli.find import check_paths, find_videos, place_of
from laps_client.cli.journal import TRUTH, Journal, file_of
from laps_client.cli.kinds import Kind, check_agrees, kind_asked, kind_of_row, pinned
from laps_client.cli.output import Format, NoOutput, Output, output_for
from laps_client.cli.picture import Picture
from laps_client.cli.rows import json_row
from laps_client.cli.session import Connection, check_ready, outcomes_of
from laps_client.many import FilePath, Outcome


@dataclass(frozen=True, slots=True)
class ClassifyRequest:
    """What the command was asked for."""

    paths: list[Path]
    options: Options
    format: Format
    concurrency: int
    skip_done: Path | None
    plot: Path | None


class Done:
    """Which files have their line in a results file.

    Attributes:
        skipped: those that were asked for again.

    Raises:
        Stop: the file is of ``laps evaluate``.
    """

    def __init__(self, journal: Journal | None) -> None:
        self._journal = journal
        self._earlier: set[str] = set()
        self._kinds: set[Kind] = set()
        self._taken: set[str] = set()
        self.skipped: set[str] = set()
        for row in () if journal is None else journal.rows():
            if _is_answer(row):
                self._earlier.add(file_of(row))
                if (kind := kind_of_row(row)) is not None:
                    self._kinds.add(kind)

    async def agreed(self, client: AsyncLapsClient, options: Options) -> Options:
        """The options, so that whatever gets a line answers the same question as the lines that are there.

        Raises:
            Stop: it would be another one, or there is no such model.
        """
        if self._journal is None:
            return options
        wanted, _ = await kind_asked(client, options)
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
            elif (file := place_of(path)) in self._earlier:
                self.skipped.add(file)
            elif file not in self._taken:
                self._taken.add(file)
                yield path


async def classify(connection: Connection, request: ClassifyRequest, display: Display) -> int:
    """Classify files and folders; returns the exit status.

    Raises:
        Stop: the command is wrong, or there is no server.
    """
    check_paths(request.paths)
    picture = None if request.plot is None else Picture(request.plot)
    with ExitStack() as stack:
        journal = None if request.skip_done is None else stack.enter_context(Journal(request.skip_done))
        output = results_output(request.format, journal, display)
        stack.callback(output.close)
        done = Done(journal)
        paths = done.without(find_videos(request.paths, display.unreadable))
        found = 0
        async with connection.client() as client:
            await check_ready(client)
            options = await done.agreed(client, request.options)
            results = outcomes_of(client, paths, options, concurrency=request.concurrency, display=display)
            async with aclosing(results) as outcomes:
                async for outcome in outcomes:
                    found += 1
                    keep(outcome, journal, output)
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
    return exits.SOME_FAILED if display.failures else exits.OK


def keep(outcome: Outcome[FilePath], journal: Journal | None, output: Output) -> None:
    """Write an answer down first, and show it then; errors are not written down, so that a next run tries again."""
    if journal is not None and outcome.result is not None:
        journal.append(json_row(outcome))
    output.write(outcome)


def results_output(chosen: Format, journal: Journal | None, display: Display) -> Output:
    """The writer to standard output, which may be the results file itself.

    Raises:
        Stop: it is, and the format is another.
    """
    if journal is None or not journal.is_same_file(sys.stdout.fileno()):
        return output_for(chosen, display.aside)
    if chosen != "jsonl":
        raise wrong_use("standard output is the results file", "add --jsonl, or leave the redirection out")
    return NoOutput()


def _is_answer(row: Mapping[str, Any]) -> bool:
    """Whether a line answers its file: what --jsonl printed has lines of errors too."""
    if TRUTH in row:
        raise wrong_use("the results file is one of laps evaluate", "give a new one to --skip-done")
    return "predictions" in row
