"""What ``laps-server classify``, ``models``, ``tune`` and ``views`` print: tables, JSON, and the progress of files.

Results go to standard output; the progress bar and warnings go to standard error.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from io import TextIOBase
from pathlib import Path
from typing import Any, Literal, TextIO

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from laps_server.api.responses import choice_body, classify_response
from laps_server.classify_options import ClassifyOptions
from laps_server.errors import LapsError, ModelNotFound, VersionNotFound
from laps_server.models.repository import discover
from laps_server.offline import FileResult, classify_files, find_videos
from laps_server.sampled_views import sample_views, write_views
from laps_server.settings import Settings
from laps_server.tune import Tuned, tune
from laps_server.video.limits import MediaLimits

Output = Literal["table", "json", "jsonl"]

_PIPE_WIDTH = 240


@contextmanager
def results_alone(others: Callable[[TextIO], TextIOBase]) -> Iterator[TextIO]:
    """Keep standard output for results, and yield it: others print through what ``others`` makes of standard error."""
    results = sys.stdout
    with redirect_stdout(others(sys.stderr)):
        yield results


async def print_results(
    settings: Settings, paths: Sequence[Path], options: ClassifyOptions, *, output: Output, concurrency: int
) -> int:
    """Classify and print; returns the number of files that failed.

    If interrupted, a table is printed as far as it is known; half a JSON array could be taken for a whole one.

    Raises:
        ModelError, BadRequest: the repository or the options are wrong, raised before the first file.
    """
    videos = find_videos(paths)
    errors = Console(stderr=True, highlight=False)
    # Plain bodies, which are smaller than answers: there may be a million files.
    collected: dict[Path, dict[str, Any]] = {}
    failed = 0
    async with classify_files(settings, videos, options, concurrency=concurrency) as results:
        try:
            with _progress(errors) as progress:
                task = progress.add_task("classifying", total=len(videos))
                async for result in results:
                    failed += result.error is not None
                    progress.advance(task)
                    if output == "jsonl":
                        sys.stdout.write(json.dumps(_body(result)) + "\n")
                        sys.stdout.flush()
                    else:
                        collected[result.path] = _body(result)
        except asyncio.CancelledError:
            if output == "table" and collected:
                _print_table([collected[path] for path in videos if path in collected], errors)
            raise
    in_order = [collected[path] for path in videos if path in collected]
    if output == "json":
        sys.stdout.write(json.dumps(in_order, indent=2) + "\n")
    elif output == "table":
        _print_table(in_order, errors)
    return failed


def print_models(settings: Settings, *, as_json: bool) -> None:
    """Print the repository's models from their manifests alone."""
    rows = [
        {
            "name": files.name,
            "version": files.version,
            "variant": files.manifest.variant,
            "labels": f"{files.manifest.labels.name} ({files.manifest.labels.count})",
            "input": f"{files.manifest.clip.frames} x {files.manifest.clip.height} x {files.manifest.clip.width}",
            "views": files.manifest.default_views,
            "untrained": files.manifest.untrained,
        }
        for files in discover(*settings.model_repository, versions=settings.versions)
    ]
    if as_json:
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
        return
    table = Table()
    for name in rows[0]:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    _results_console().print(table)


async def print_tuning(settings: Settings, *, model: str | None, json_file: Path | None) -> None:
    """Try every engine and precision, and print a table for each model as soon as it is known.

    Raises:
        ModelError, BadRequest: the repository or the settings are wrong.
        OSError: ``json_file`` cannot be written.
    """
    documents = []
    async for tuned in tune(settings, model=model):
        body = choice_body(tuned.choice).model_dump()
        documents.append(
            {
                "model": {"name": tuned.files.name, "version": tuned.files.version},
                "machine": {
                    "processor": tuned.machine.processor,
                    "device": tuned.machine.device,
                    "threads": settings.threads,
                    "instruction_sets": sorted(tuned.machine.instruction_sets),
                },
                **body,
            }
        )
        _results_console().print(_tuning_table(tuned, body["candidates"]))
    if json_file is not None:
        json_file.write_text(json.dumps(documents, indent=2) + "\n", encoding="utf-8")


def _tuning_table(tuned: Tuned, candidates: Sequence[dict[str, Any]]) -> Table:
    table = Table(title=f"{tuned.files.name} {tuned.files.version}, {tuned.choice.views} views", title_justify="left")
    for name in ("engine", "precision", "ms a view", "processor ms", "speed-up", "largest shift", "labels changed"):
        table.add_column(name, justify="left" if name in ("engine", "precision") else "right")
    table.add_column("verdict", overflow="fold")
    slowest = max((row["view_processor_ms"] or 0 for row in candidates), default=0)
    for row in candidates:
        taken = row["view_processor_ms"]
        table.add_row(
            row["engine"],
            row["precision"],
            _number(row["view_ms"], ".1f"),
            _number(taken, ".1f"),
            _number(slowest / taken if taken else None, ".2f"),
            _number(row["largest_shift"], ".4f"),
            _number(row["labels_changed"], "d"),
            escape(row["verdict"]),
        )
    return table


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def save_views(
    settings: Settings, paths: Sequence[Path], *, model: str, version: int | None, count: int, out: Path
) -> int:
    """Write views of videos as a model gets them; returns how many.

    Raises:
        ModelError, BadRequest: the repository, the model or the paths are wrong.
    """
    found = discover(*settings.model_repository, versions="all")
    if not (named := [files for files in found if files.name == model]):
        raise ModelNotFound(
            f"there is no model {model!r}", hint=f"there are {', '.join(sorted({f.name for f in found}))}"
        )
    wanted = named[-1].version if version is None else version
    if (files := next((files for files in named if files.version == wanted), None)) is None:
        raise VersionNotFound(f"model {model!r} has no version {wanted}")
    videos = find_videos(paths)
    errors = Console(stderr=True, highlight=False)
    with _progress(errors) as progress:
        task = progress.add_task("taking views", total=count)

        def on_video(video: Path, given: int, error: LapsError | None) -> None:
            progress.advance(task, given)
            if error is not None:
                errors.print(f"{video}: {error.message}", markup=False, soft_wrap=True)

        views = sample_views(
            files.manifest,
            videos,
            count,
            limits=MediaLimits(max_pixels=settings.max_pixels, codecs=settings.codecs),
            on_video=on_video,
        )
        written = write_views(views, files.manifest.clip_shape, out)
    _results_console().print(f"{out}: {written} views" if written else "no video gave a view", markup=False)
    return written


def _body(result: FileResult) -> dict[str, Any]:
    """Plain data for JSON: the body that HTTP would answer, under the file's path."""
    if result.answer is None:
        error = result.error
        body = error and {"code": error.code, "message": error.message, "hint": error.hint}
        return {"path": str(result.path), "error": body}
    response = classify_response(result.answer, request_id="", total_s=result.seconds)
    return {"path": str(result.path), **response.model_dump(exclude={"request_id"})}


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def _results_console() -> Console:
    """Standard output: as wide as the terminal, and wide enough for anything where it is none."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH)


def _print_table(bodies: Sequence[dict[str, Any]], errors: Console) -> None:
    _results_console().print(_table(bodies))
    for warning in dict.fromkeys(text for body in bodies for text in body.get("warnings", ())):
        errors.print(f"warning: {warning}", markup=False, soft_wrap=True)


def _table(bodies: Sequence[dict[str, Any]]) -> Table:
    table = Table()
    for name in ("file", "score", "label", "views agree", "then", "seconds"):
        table.add_column(name, overflow="fold")
    for body in bodies:
        if "error" in body:
            text = f"[red]{escape(body['error']['message'])}[/]"
            if body["error"]["hint"]:
                text += f"\n{escape(body['error']['hint'])}"
            table.add_row(escape(body["path"]), "-", text, "", "", "")
            continue
        best, *rest = body["predictions"]
        others = ", ".join(f"{item['label']} {item['score']:.3f}" for item in rest)
        seconds = body["timings_ms"]["total"] / 1000
        used = body["views"]["used"]
        table.add_row(
            escape(body["path"]),
            f"{best['score']:.3f}",
            escape(best["label"]),
            f"{round(body['agreement'] * used)} of {used}",
            escape(others),
            f"{seconds:.1f}",
        )
    return table
