"""``laps evaluate``: how accurate a served model, or the mean of several, is on a list of labelled videos."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, aclosing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from laps_client._options import Options
from laps_client._results import Classification, Prediction
from laps_client.cli import exit_status
from laps_client.cli.connection import Connection, check_ready
from laps_client.cli.display import Display
from laps_client.cli.ensemble import Member, answers_of, find_members, mean_ranking
from laps_client.cli.evaluation_report import Evaluation, classes_csv, confusion_csv, report_json, report_text
from laps_client.cli.exit_status import wrong_use
from laps_client.cli.labelled_videos import LabelledVideo, LabelNames, read_list
from laps_client.cli.output_files import check_output_file, write_output_file
from laps_client.cli.results_file import FILE, PATH, TRUTH, ResultsFile
from laps_client.cli.results_writer import emit
from laps_client.cli.run_settings import RunSettings, check_agree, settings_of_row
from laps_client.cli.scoring import TOP, ScoredVideo, report
from laps_client.cli.video_files import location_of

_ANSWERS = "answers"  # in lines of several models


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateRequest:
    """What the command was asked for; ``models`` as ``name`` or ``name/version``."""

    list_path: Path
    root: Path | None
    models: tuple[str, ...]
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
            members = await find_members(client, request.models, request.options)
            model = members[0].model  # labels are the same of all
            videos = read_list(request.list_path, LabelNames(model.label_names), root=request.root)
            results_file = None if request.skip_done is None else stack.enter_context(ResultsFile(request.skip_done))
            run = _EvaluationRun(members, videos)
            if results_file is not None:
                run.take_earlier(results_file)
            display.expect(len(videos) * len(members), done=len(run.ranked) * len(members))
            # A mean needs the scores of all labels: what one model ranks sixth may be the first of the mean.
            top_k = min(TOP, model.label_count) if len(members) == 1 else model.label_count
            options: Options = {**request.options, "top_k": top_k, "frames": False}
            results = answers_of(
                client, members, run.missing(), options, concurrency=request.concurrency, display=display
            )
            async with aclosing(results):
                async for video, answers in results:
                    run.take(video, answers, results_file)
        _write_report(run, request)
    return exit_status.SOME_FAILED if display.failures else exit_status.OK


class _EvaluationRun:
    """The list's videos, and the ranked labels of each by its name there, so that none counts twice."""

    def __init__(self, members: tuple[Member, ...], videos: list[LabelledVideo]) -> None:
        self.members = members
        self.videos = videos
        self.ranked: dict[str, tuple[int, ...]] = {}

    def take_earlier(self, results_file: ResultsFile) -> None:
        """Take the results of earlier runs of the same list, models and views.

        Raises:
            CommandFailed: the results file is of other models, other views, other files, or another command.
        """
        wanted = [member.settings for member in self.members]
        files = {video.name: location_of(video.file) for video in self.videos}
        for row in results_file.rows():
            found = _parsed(row)
            if found is None:
                raise wrong_use(f"{results_file.path} is no file of laps evaluate", "give a new one to --skip-done")
            settings, ranked = found
            check_agree(results_file.path, settings, wanted)
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

    def take(self, video: LabelledVideo, answers: tuple[Classification, ...], results_file: ResultsFile | None) -> None:
        """Save a result and count it."""
        predictions = mean_ranking(answers)[:TOP]
        if results_file is not None:
            label = self.members[0].model.label_names[video.label]
            results_file.append(_row(video, label, predictions, answers))
        self.ranked[video.name] = tuple(item.index for item in predictions)

    def evaluation(self) -> Evaluation:
        """Count what is known so far."""
        scored = [
            ScoredVideo(video.label, self.ranked[video.name]) for video in self.videos if video.name in self.ranked
        ]
        counted = report(scored, label_count=self.members[0].model.label_count)
        return Evaluation(members=self.members, listed=len(self.videos), report=counted)


def _row(
    video: LabelledVideo, label: str, predictions: tuple[Prediction, ...], answers: tuple[Classification, ...]
) -> dict[str, Any]:
    """A line; where there are several models, who answered stands in a list."""
    bodies = [answer.to_dict() for answer in answers]
    answered = [{key: body[key] for key in ("model", "views", "request_id")} for body in bodies]
    return {
        PATH: video.name,
        FILE: location_of(video.file),
        TRUTH: {"label": label, "index": video.label},
        "predictions": [asdict(item) for item in predictions],
        **(answered[0] if len(answered) == 1 else {_ANSWERS: answered}),
    }


def _parsed(row: Mapping[str, Any]) -> tuple[list[RunSettings], tuple[int, ...]] | None:
    answers = row.get(_ANSWERS, [row])
    try:
        settings = [found for answer in answers if (found := settings_of_row(answer)) is not None]
        ranked = tuple(int(item["index"]) for item in row["predictions"])
        whole = 0 < len(settings) == len(answers)
    except (KeyError, TypeError, ValueError):
        return None
    return (settings, ranked) if whole and ranked and TRUTH in row else None


def _write_report(run: _EvaluationRun, request: EvaluateRequest) -> None:
    evaluation = run.evaluation()
    if request.as_json:
        emit(json.dumps(report_json(evaluation), indent=2) + "\n")
    else:
        emit(report_text(evaluation, worst_most=request.worst))
    for path, text in ((request.classes, classes_csv), (request.confusion, confusion_csv)):
        if path is not None:
            write_output_file(path, text(evaluation))
