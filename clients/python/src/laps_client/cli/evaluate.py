"""``laps evaluate``: how right a served model is over a list of labelled videos."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from laps_client.async_client import AsyncLapsClient
from laps_client.calls import Options
from laps_client.cli import exits
from laps_client.cli.display import Display
from laps_client.cli.exits import wrong_use
from laps_client.cli.journal import PATH, TRUTH, Journal
from laps_client.cli.lists import Entry, Labels, read_list
from laps_client.cli.output import emit
from laps_client.cli.reports import Evaluation, classes_csv, confusion_csv, report_json, report_text
from laps_client.cli.scoring import TOP, Scored, report
from laps_client.cli.session import Connection, asked, check_ready, outcomes_of
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
    for path in (request.classes, request.confusion):
        if path is not None and not path.parent.is_dir():
            raise wrong_use(f"there is no folder {path.parent}")
    with ExitStack() as stack:
        async with connection.client() as client:
            await check_ready(client)
            options = request.options
            wanted = options.get("model") or await _default_model(client)
            model = await asked(client.model(wanted, version=options.get("version")))
            entries = read_list(request.list_path, Labels(model.label_names), root=request.root)
            journal = None if request.skip_done is None else stack.enter_context(Journal(request.skip_done))
            run = _Run(model, _plainly(options.get("views") or model.default_views), entries)
            if journal is not None:
                run.take_earlier(journal)
            display.expect(len(entries), done=len(run.ranked))
            # The version is named, so that one that is put in place meanwhile does not answer half of the list.
            pinned: Options = {
                **options,
                "model": model.name,
                "version": model.version,
                "top_k": min(TOP, model.label_count),
                "frames": False,
            }
            results = outcomes_of(client, run.missing(), pinned, concurrency=request.concurrency, display=display)
            async with aclosing(results) as outcomes:
                async for outcome in outcomes:
                    run.take(outcome, journal)
        _tell(run, request)
    return exits.SOME_FAILED if display.failures else exits.OK


class _Run:
    """The list's entries and what is known of each: by its name there, so that none counts twice."""

    def __init__(self, model: ModelInfo, views: str, entries: list[Entry]) -> None:
        self.model = model
        self.views = views
        self.entries = entries
        self.ranked: dict[str, tuple[int, ...]] = {}

    def take_earlier(self, journal: Journal) -> None:
        """What earlier runs of the same list, model and views found.

        Raises:
            Stop: the file is of another model, of other views, or of another command.
        """
        names = {entry.name for entry in self.entries}
        for row in journal.rows():
            found = _parsed(row)
            if found is None:
                raise wrong_use(f"{journal.path} is no file of laps evaluate", "give a new one to --skip-done")
            if found[0] != (self.model.name, self.model.version, self.views):
                name, version, views = found[0]
                raise wrong_use(
                    f"{journal.path} holds results of {name} {version} at {views}, "
                    f"not of {self.model.name} {self.model.version} at {self.views}",
                    "give each model and each choice of views a file of its own",
                )
            if row[PATH] in names:
                self.ranked[row[PATH]] = found[1]

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
        return Evaluation(self.model, self.views, listed=len(self.entries), report=counted)


def _plainly(views: str) -> str:
    """``05x3`` as the server writes it, ``5x3``; what is no grid is the server's to refuse."""
    return "x".join(part.lstrip("0") for part in views.split("x"))


async def _default_model(client: AsyncLapsClient) -> str:
    models = await asked(client.models())
    return next(model.name for model in models if model.default)


def _row(entry: Entry, result: Classification, model: ModelInfo) -> dict[str, Any]:
    body = result.to_dict()
    return {
        PATH: entry.name,
        TRUTH: {"label": model.label_names[entry.label], "index": entry.label},
        **{key: body[key] for key in ("predictions", "model", "views", "request_id")},
    }


def _parsed(row: Mapping[str, Any]) -> tuple[tuple[str, int, str], tuple[int, ...]] | None:
    try:
        views = f"{row['views']['temporal']}x{row['views']['spatial']}"
        kind = (str(row["model"]["name"]), int(row["model"]["version"]), views)
        ranked = tuple(int(item["index"]) for item in row["predictions"])
    except (KeyError, TypeError, ValueError):
        return None
    return (kind, ranked) if ranked and TRUTH in row else None


def _tell(run: _Run, request: EvaluateRequest) -> None:
    evaluation = run.evaluation()
    if request.as_json:
        emit(json.dumps(report_json(evaluation), indent=2) + "\n")
    else:
        emit(report_text(evaluation, worst_most=request.worst))
    for path, text in ((request.classes, classes_csv), (request.confusion, confusion_csv)):
        if path is not None:
            path.write_text(text(evaluation), encoding="utf-8")
