"""``laps evaluate``: how right a served model is over a list of labelled videos."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from laps_client.calls import Options
from laps_client.cli import exits
from laps_client.cli.display import Display
from laps_client.cli.exits import wrong_use
from laps_client.cli.find import place_of
from laps_client.cli.journal import FILE, PATH, TRUTH, Journal
from laps_client.cli.kinds import Kind, check_agrees, kind_asked, kind_of_row, pinned
from laps_client.cli.lists import Entry, Labels, read_list
from laps_client.cli.output import emit
from laps_client.cli.reports import Evaluation, classes_csv, confusion_csv, report_json, report_text
from laps_client.cli.scoring import TOP, Scored, report
from laps_client.cli.session import Connection, check_ready, outcomes_of
from laps_client.cli.targets import check_target, write_target
from laps_client.many import Outcome
from laps_client.results import Classification, ModelInfo


@dataclass(frozen=True, slots=True)
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
    """Classify what the list names and is not done yet; report over all of it; returns the exit status.

    Raises:
        Stop: the command or the list is wrong, or there is no server.
    """
    for option, path in (("--classes", request.classes), ("--confusion", request.confusion)):
        if path is not None:
            check_target(option, path)
    with ExitStack() as stack:
        async with connection.client() as client:
            await check_ready(client)
            kind, model = await kind_asked(client, request.options)
            entries = read_list(request.list_path, Labels(model.label_names), root=request.root)
            journal = None if request.skip_done is None else stack.enter_context(Journal(request.skip_done))
            run = _Run(model, kind, entries)
            if journal is not None:
                run.take_earlier(journal)
            display.expect(len(entries), done=len(run.ranked))
            options: Options = {**request.options, "top_k": min(TOP, model.label_count), "frames": False}
            results = outcomes_of(
                client, run.missing(), pinned(options, kind), concurrency=request.concurrency, display=display
            )
            async with aclosing(results) as outcomes:
                async for outcome in outcomes:
                    run.take(outcome, journal)
        _tell(run, request)
    return exits.SOME_FAILED if display.failures else exits.OK


class _Run:
    """The list's entries and what is known of each: by its name there, so that none counts twice."""

    def __init__(self, model: ModelInfo, kind: Kind, entries: list[Entry]) -> None:
        self.model = model
        self.kind = kind
        self.entries = entries
        self.ranked: dict[str, tuple[int, ...]] = {}

    def take_earlier(self, journal: Journal) -> None:
        """What earlier runs of the same list, model and views found.

        Raises:
            Stop: the results file is of another model, of other views, of files elsewhere, or of another command.
        """
        files = {entry.name: place_of(entry.file) for entry in self.entries}
        for row in journal.rows():
            found = _parsed(row)
            if found is None:
                raise wrong_use(f"{journal.path} is no file of laps evaluate", "give a new one to --skip-done")
            kind, ranked = found
            check_agrees(journal.path, kind, self.kind)
            name = row[PATH]
            if name not in files:
                continue
            if row.get(FILE, files[name]) != files[name]:
                raise wrong_use(
                    f"{journal.path} holds the result of {name} at {row[FILE]}, not of the one at {files[name]}",
                    "give each list and each --root a file of its own",
                )
            self.ranked[name] = ranked

    def missing(self) -> Iterator[Entry]:
        """What is still to do."""
        return (entry for entry in self.entries if entry.name not in self.ranked)

    def take(self, outcome: Outcome[Entry], journal: Journal | None) -> None:
        """Write an answer down and count it."""
        if outcome.result is None:
            return
        if journal is not None:
            journal.append(_row(outcome.path, outcome.result, self.model))
        self.ranked[outcome.path.name] = tuple(item.index for item in outcome.result.predictions)

    def evaluation(self) -> Evaluation:
        """All that is known, counted."""
        scored = [Scored(entry.label, self.ranked[entry.name]) for entry in self.entries if entry.name in self.ranked]
        counted = report(scored, label_count=self.model.label_count)
        return Evaluation(self.model, self.kind.views, listed=len(self.entries), report=counted)


def _row(entry: Entry, result: Classification, model: ModelInfo) -> dict[str, Any]:
    body = result.to_dict()
    return {
        PATH: entry.name,
        FILE: place_of(entry.file),
        TRUTH: {"label": model.label_names[entry.label], "index": entry.label},
        **{key: body[key] for key in ("predictions", "model", "views", "request_id")},
    }


def _parsed(row: Mapping[str, Any]) -> tuple[Kind, tuple[int, ...]] | None:
    kind = kind_of_row(row)
    try:
        ranked = tuple(int(item["index"]) for item in row["predictions"])
    except (KeyError, TypeError, ValueError):
        return None
    return (kind, ranked) if kind is not None and ranked and TRUTH in row else None


def _tell(run: _Run, request: EvaluateRequest) -> None:
    evaluation = run.evaluation()
    if request.as_json:
        emit(json.dumps(report_json(evaluation), indent=2) + "\n")
    else:
        emit(report_text(evaluation, worst_most=request.worst))
    for path, text in ((request.classes, classes_csv), (request.confusion, confusion_csv)):
        if path is not None:
            write_target(path, text(evaluation))
