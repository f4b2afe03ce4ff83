"""``laps diff``: how the answers of two served models, or versions of one, differ on the same videos."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass
from math import ceil
from pathlib import Path

from laps_client._async_client import AsyncLapsClient
from laps_client._options import Options
from laps_client._results import Classification, ModelInfo
from laps_client.cli import exit_status
from laps_client.cli.connection import Connection, check_ready, outcomes_of, required
from laps_client.cli.display import Display
from laps_client.cli.exit_status import wrong_use
from laps_client.cli.model_reference import parse_reference
from laps_client.cli.results_writer import emit
from laps_client.cli.terminal_text import percent, printable
from laps_client.cli.video_files import check_paths, find_videos

_P99 = 0.99


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffRequest:
    """What the command was asked for; models as ``name`` or ``name/version``."""

    models: tuple[str, str]
    paths: list[Path]
    options: Options
    concurrency: int
    as_json: bool
    worst: int
    min_agreement: float | None


@dataclass(frozen=True, slots=True)
class FileDiff:
    """One video: each model's top label, and both models' scores of the first one's."""

    path: str
    label_a: str
    label_b: str
    score_a: float
    score_b: float

    @property
    def agrees(self) -> bool:
        """Whether both have the same top label."""
        return self.label_a == self.label_b

    @property
    def shift(self) -> float:
        """Of the score of the first model's top label."""
        return abs(self.score_b - self.score_a)


@dataclass(frozen=True, slots=True)
class DiffReport:
    """All videos that both models answered."""

    model_a: str
    model_b: str
    files: tuple[FileDiff, ...]
    failed: int

    @property
    def agreement(self) -> float:
        """Share of the videos whose top label is the same."""
        return sum(file.agrees for file in self.files) / len(self.files)

    @property
    def mean_shift(self) -> float:
        """Of the scores."""
        return sum(file.shift for file in self.files) / len(self.files)

    @property
    def p99_shift(self) -> float:
        """What 99 of 100 videos do not exceed."""
        shifts = sorted(file.shift for file in self.files)
        return shifts[ceil(_P99 * len(shifts)) - 1]

    @property
    def worst_first(self) -> list[FileDiff]:
        """Videos with another top label, then the rest; of each the largest shift first."""
        return sorted(self.files, key=lambda file: (file.agrees, -file.shift, file.path))


async def diff(connection: Connection, request: DiffRequest, display: Display) -> int:
    """Send every video to both models, and report; returns the exit status.

    Raises:
        CommandFailed: the command is wrong, the models have other labels, or there is no server.
    """
    check_paths(request.paths)
    async with connection.client() as client:
        await check_ready(client)
        a, b = [await _model(client, text) for text in request.models]
        if a.label_names != b.label_names:
            raise wrong_use(f"{_ref(a)} and {_ref(b)} have other labels, so their scores cannot be compared")
        paths = list(find_videos(request.paths, display.unreadable))
        if not paths:
            raise wrong_use("no video found", "folders are searched for names that videos have, as clip.mp4")
        display.expect(2 * len(paths), done=0)
        # First one model, then the other: of each answer of the first, one label is kept.
        tops = {path: answer.top async for path, answer in _answers(client, a, paths, request, display, top_k=1)}
        files = []
        async for path, answer in _answers(client, b, [*tops], request, display, top_k=b.label_count):
            score = next(item.score for item in answer.predictions if item.index == tops[path].index)
            files.append(FileDiff(os.fspath(path), tops[path].label, answer.top.label, tops[path].score, score))
    report = DiffReport(_ref(a), _ref(b), tuple(files), failed=len(paths) - len(files))
    emit(_json(report) if request.as_json else _text(report, worst=request.worst))
    if request.min_agreement is not None and files and report.agreement < request.min_agreement:
        return exit_status.DIFFERS
    return exit_status.SOME_FAILED if display.failures else exit_status.OK


async def _model(client: AsyncLapsClient, text: str) -> ModelInfo:
    """What ``name`` or ``name/version`` means now, so that a version that is published meanwhile does not answer."""
    name, version = parse_reference(text)
    return await required(client.model(name, version=version))


async def _answers(
    client: AsyncLapsClient,
    model: ModelInfo,
    paths: Sequence[Path],
    request: DiffRequest,
    display: Display,
    *,
    top_k: int,
) -> AsyncGenerator[tuple[Path, Classification], None]:
    options: Options = {**request.options, "model": model.name, "version": model.version, "top_k": top_k}
    results = outcomes_of(client, paths, options, concurrency=request.concurrency, display=display)
    async with aclosing(results) as outcomes:
        async for outcome in outcomes:
            if outcome.result is not None:
                yield outcome.path, outcome.result


def _ref(model: ModelInfo) -> str:
    return f"{model.name}/{model.version}"


def _json(report: DiffReport) -> str:
    counted = bool(report.files)
    document = {
        "model_a": report.model_a,
        "model_b": report.model_b,
        "videos": len(report.files),
        "failed": report.failed,
        "agreement": report.agreement if counted else None,
        "mean_shift": report.mean_shift if counted else None,
        "p99_shift": report.p99_shift if counted else None,
        "files": [asdict(file) | {"agrees": file.agrees, "shift": file.shift} for file in report.worst_first],
    }
    return json.dumps(document, indent=2) + "\n"


def _text(report: DiffReport, *, worst: int) -> str:
    failed = f", {report.failed} failed" if report.failed else ""
    lines = [f"models     {report.model_a} and {report.model_b}", f"videos     {len(report.files)}{failed}"]
    if report.files:
        same = sum(file.agrees for file in report.files)
        lines += [
            f"agreement  {percent(report.agreement)}, {same} of {len(report.files)}",
            f"shift      mean {report.mean_shift:.6f}, p99 {report.p99_shift:.6f}",
        ]
    shown = report.worst_first[:worst]
    if shown:
        lines += ["", "worst first"]
        lines += [
            f"  {printable(file.path)}  {printable(_change(file))}  {file.score_a:.6f} to {file.score_b:.6f}"
            for file in shown
        ]
    return "\n".join(lines) + "\n"


def _change(file: FileDiff) -> str:
    return file.label_a if file.agrees else f"{file.label_a} became {file.label_b}"
