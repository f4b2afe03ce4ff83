"""``laps classify``."""

from __future__ import annotations

import sys
from contextlib import ExitStack, aclosing
from dataclasses import dataclass
from pathlib import Path

from laps_client._options import Options
from laps_client._outcome import FilePath, Outcome
from laps_client.cli import exit_status
from laps_client.cli.connection import Connection, check_ready, outcomes_of
from laps_client.cli.display import Display
from laps_client.cli.done_files import DoneFiles
from laps_client.cli.exit_status import wrong_use
from laps_client.cli.figure import CurvesFigure
from laps_client.cli.result_rows import json_row
from laps_client.cli.results_file import ResultsFile
from laps_client.cli.results_writer import Format, NullWriter, ResultsWriter, writer_for
from laps_client.cli.video_files import check_paths, find_videos


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifyRequest:
    """What the command was asked for."""

    paths: list[Path]
    options: Options
    format: Format
    concurrency: int
    skip_done: Path | None
    plot: Path | None


async def classify(connection: Connection, request: ClassifyRequest, display: Display) -> int:
    """Classify files and folders; returns the exit status.

    Raises:
        CommandFailed: the command is wrong, or there is no server.
    """
    check_paths(request.paths)
    figure = None if request.plot is None else CurvesFigure(request.plot)
    with ExitStack() as stack:
        results_file = None if request.skip_done is None else stack.enter_context(ResultsFile(request.skip_done))
        writer = writer_to_stdout(request.format, results_file, display)
        stack.callback(writer.close)
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
                    save_and_write(outcome, results_file, writer)
                    if figure is not None:
                        figure.add(outcome)
        if done.skipped:
            display.say(f"{len(done.skipped)} files were done already")
        if not found and not done.skipped and not display.failures:
            raise wrong_use("no video found", "folders are searched for names that videos have, as clip.mp4")
        if figure is not None:
            for row in done.skipped_rows():
                figure.add_row(row)
            figure.save(display)
    return exit_status.SOME_FAILED if display.failures else exit_status.OK


def save_and_write(outcome: Outcome[FilePath], results_file: ResultsFile | None, writer: ResultsWriter) -> None:
    """First save a result, then write it to standard output. Errors are not saved, so that the next run tries again."""
    if results_file is not None and outcome.result is not None:
        results_file.append(json_row(outcome))
    writer.write(outcome)


def writer_to_stdout(chosen: Format, results_file: ResultsFile | None, display: Display) -> ResultsWriter:
    """The writer to standard output, which may be the results file itself.

    Raises:
        CommandFailed: it is, in another format than its own.
    """
    if results_file is None or not results_file.is_same_file(sys.stdout.fileno()):
        return writer_for(chosen, display.aside)
    if chosen != "jsonl":
        raise wrong_use("standard output is the results file", "add --jsonl, or leave the redirection out")
    return NullWriter()
