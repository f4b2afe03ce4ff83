"""``laps evaluate``: how accurate a served model is on a list of labelled videos."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from laps_client._options import Options
from laps_client._outcome import Outcome
from laps_client._results import Classification, ModelInfo
from laps_client.cli import exit_status
from laps_client.cli.connection import Connection, check_ready, outcomes_of
from laps_client.cli.display import Display
from laps_client.cli.evaluation_report import Evaluation, classes_csv, confusion_csv, report_json, report_text
from laps_client.cli.exit_status import wrong_use
from laps_client.cli.labelled_videos import LabelledVideo, LabelNames, read_list
from laps_client.cli.output_files import check_output_file, write_output_file
from laps_client.cli.results_file import FILE, PATH, TRUTH, ResultsFile
from laps_client.cli.results_writer import emit
from laps_client.cli.run_settings import RunSettings, check_agrees, pinned, requested_settings, settings_of_row
from laps_client.cli.scoring import TOP, ScoredVideo, report
from laps_client.cli.video_files import location_of


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateRequest:
    """What the command was asked for."""

    list_path: Path
    root: Path | None
    options: Options
    concurrency: int
    skip_done: Path | None
    as_json: bool
    worst: int
    classes: Path | None
    confusion: Path | None


async def evaluate(connection: Connection, request: EvaluateRequest, display: Display) -> int:
    """Classify the videos of the list that are not done yet, and report on all; returns the exit status.

    Raises:
        CommandFailed: the command or the list is wrong, or there is no server.
    """
    for option, path in (("--classes", request.classes), ("--confusion", request.confusion)):
        if path is not None:
            check_output_file(option, path)
    with ExitStack() as stack:
        async with connection.client() as client:
            await check_ready(client)
            settings, model = await requested_settings(client, request.options)
            videos = read_list(request.list_path, LabelNames(model.label_names), root=request.root)
            results_file = None if request.skip_done is None else stack.enter_context(ResultsFile(request.skip_done))
            run = _EvaluationRun(model, settings, videos)
            if results_file is not None:
                run.take_earlier(results_file)
            display.expect(len(videos), done=len(run.ranked))
            options: Options = {**request.options, "top_k": min(TOP, model.label_count), "frames": False}
            results = outcomes_of(
                client, run.missing(), pinned(options, settings), concurrency=request.concurrency, display=display
            )
            async with aclosing(results) as outcomes:
                async for outcome in outcomes:
                    run.take(outcome, results_file)
        _write_report(run, request)
    return exit_status.SOME_FAILED if display.failures else exit_status.OK


class _EvaluationRun:
    """The list's videos, and the ranked labels of each by its name there, so that none counts twice."""

    def __init__(self, model: ModelInfo, settings: RunSettings, videos: list[LabelledVideo]) -> None:
        self.model = model
        self.settings = settings
        self.videos = videos
        self.ranked: dict[str, tuple[int, ...]] = {}

    def take_earlier(self, results_file: ResultsFile) -> None:
        """Take the results of earlier runs of the same list, model and views.

        Raises:
            CommandFailed: the results file is of another model, other views, other files, or another command.
        """
        files = {video.name: location_of(video.file) for video in self.videos}
        for row in results_file.rows():
            found = _parsed(row)
            if found is None:
                raise wrong_use(f"{results_file.path} is no file of laps evaluate", "give a new one to --skip-done")
            settings, ranked = found
            check_agrees(results_file.path, settings, self.settings)
            name = row[PATH]
            if name not in files:
                continue
            if row.get(FILE, files[name]) != files[name]:
                raise wrong_use(
                    f"{results_file.path} holds the result of {name} at {row[FILE]}, not of the one at {files[name]}",
                    "give each list and each --root a file of its own",
                )
            self.ranked[name] = ranked

    def missing(self) -> Iterator[LabelledVideo]:
        """The videos that have no result yet."""
        return (video for video in self.videos if video.name not in self.ranked)

    def take(self, outcome: Outcome[LabelledVideo], results_file: ResultsFile | None) -> None:
        """Save a result and count it."""
        if outcome.result is None:
            return
        if results_file is not None:
            results_file.append(_row(outcome.path, outcome.result, self.model))
        self.ranked[outcome.path.name] = tuple(item.index for item in outcome.result.predictions)

    def evaluation(self) -> Evaluation:
        """Count what is known so far."""
        scored = [
            ScoredVideo(video.label, self.ranked[video.name]) for video in self.videos if video.name in self.ranked
        ]
        counted = report(scored, label_count=self.model.label_count)
        return Evaluation(model=self.model, views=self.settings.views, listed=len(self.videos), report=counted)


def _row(video: LabelledVideo, result: Classification, model: ModelInfo) -> dict[str, Any]:
    body = result.to_dict()
    return {
        PATH: video.name,
        FILE: location_of(video.file),
        TRUTH: {"label": model.label_names[video.label], "index": video.label},
        **{key: body[key] for key in ("predictions", "model", "views", "request_id")},
    }


def _parsed(row: Mapping[str, Any]) -> tuple[RunSettings, tuple[int, ...]] | None:
    settings = settings_of_row(row)
    try:
        ranked = tuple(int(item["index"]) for item in row["predictions"])
    except (KeyError, TypeError, ValueError):
        return None
    return (settings, ranked) if settings is not None and ranked and TRUTH in row else None


def _write_report(run: _EvaluationRun, request: EvaluateRequest) -> None:
    evaluation = run.evaluation()
    if request.as_json:
        emit(json.dumps(report_json(evaluation), indent=2) + "\n")
    else:
        emit(report_text(evaluation, worst_most=request.worst))
    for path, text in ((request.classes, classes_csv), (request.confusion, confusion_csv)):
        if path is not None:
            write_output_file(path, text(evaluation))
