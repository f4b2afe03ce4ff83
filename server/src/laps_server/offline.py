"""Files and folders through the same pipeline, without HTTP: many at once, so that their views share batches."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from laps_server.api.answers import classify_response
from laps_server.clips import MAX_VIEWS
from laps_server.errors import BadParameter, LapsError
from laps_server.events import Classification, ClassifyOptions
from laps_server.pipeline import Pipeline
from laps_server.repository import discover
from laps_server.runtime import build_pipeline
from laps_server.settings import Settings

Output = Literal["table", "json", "jsonl"]

_SUFFIXES = "3gp avi flv gif m2ts m4v mkv mov mp4 mpeg mpg mts ogg ogv ts vob webm"
_PIPE_WIDTH = 240
VIDEO_SUFFIXES = frozenset(f".{name}" for name in _SUFFIXES.split())


@dataclass(frozen=True, slots=True)
class FileResult:
    """One file's answer or its error."""

    path: Path
    answer: Classification | None
    error: LapsError | None
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: the body that HTTP would answer, under the file's path."""
        if self.answer is None:
            error = self.error
            told = error and {"code": error.code, "message": error.message, "hint": error.hint}
            return {"path": str(self.path), "error": told}
        body = classify_response(self.answer, request_id="", upload_s=0.0, total_s=self.seconds)
        return {"path": str(self.path), **body.model_dump(exclude={"request_id"})}


def find_videos(paths: Iterable[Path]) -> list[Path]:
    """Files as given, whatever their name; folders searched recursively for names that videos have.

    Folders are searched as `laps` does, in the order of their names: hidden files are left out, among them macOS's
    ``._clip.mp4``, which holds no video. So are hidden folders, pipes and devices; links to folders are not followed.
    A link to nothing is found, to be told as a file that cannot be read.

    Raises:
        BadParameter: a path that is not there, or nothing found at all.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += _in_folder(path)
        elif path.is_file():
            found.append(path)
        else:
            what = "is no regular file" if path.exists() else "is not there"
            raise BadParameter(f"{path} {what}", hint="give video files, or folders that hold some")
    if not found:
        raise BadParameter("no video found", hint=f"folders are searched for {' '.join(sorted(VIDEO_SUFFIXES))}")
    return found


def _in_folder(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(parent, name)
            is_video = not name.startswith(".") and path.suffix.lower() in VIDEO_SUFFIXES
            if is_video and (path.is_file() or not path.exists()):
                yield path


async def classify_many(
    pipeline: Pipeline, paths: Sequence[Path], options: ClassifyOptions, *, concurrency: int
) -> AsyncGenerator[FileResult, None]:
    """Yield each file's result as it finishes, at most ``concurrency`` in flight."""
    waiting = iter(paths)
    running: set[asyncio.Task[FileResult]] = set()
    try:
        while True:
            while len(running) < concurrency and (path := next(waiting, None)) is not None:
                running.add(asyncio.create_task(_classify_one(pipeline, path, options)))
            if not running:
                return
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                yield task.result()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def classify_files(
    settings: Settings, paths: Sequence[Path], options: ClassifyOptions, *, output: Output, concurrency: int
) -> int:
    """Classify and print; returns the number of files that failed.

    An interrupted table is printed as far as it is known; half a JSON array would pass for a whole one.

    Raises:
        ModelError, BadRequest: the repository or the options are wrong, told before the first file.
    """
    videos = find_videos(paths)
    # Files wait for their turn here; none of them is refused because the others' views fill the line.
    line = concurrency * MAX_VIEWS
    pipeline = build_pipeline(settings.model_copy(update={"max_queued_views": max(settings.max_queued_views, line)}))
    pipeline.resolve(options)
    errors = Console(stderr=True, highlight=False)
    # Plain bodies, not answers: those hold every view's logits, and there may be a million files.
    collected: dict[Path, dict[str, Any]] = {}
    failed = 0
    try:
        with _progress(errors) as progress:
            await pipeline.start()
            task = progress.add_task("classifying", total=len(videos))
            async with aclosing(classify_many(pipeline, videos, options, concurrency=concurrency)) as results:
                async for result in results:
                    failed += result.error is not None
                    progress.advance(task)
                    if output == "jsonl":
                        sys.stdout.write(json.dumps(result.to_dict()) + "\n")
                        sys.stdout.flush()
                    else:
                        collected[result.path] = result.to_dict()
    except asyncio.CancelledError:
        if output == "table" and collected:
            _print_table([collected[path] for path in videos if path in collected], errors)
        raise
    finally:
        await pipeline.close()
    in_order = [collected[path] for path in videos if path in collected]
    if output == "json":
        sys.stdout.write(json.dumps(in_order, indent=2) + "\n")
    elif output == "table":
        _print_table(in_order, errors)
    return failed


def list_models(settings: Settings, *, as_json: bool) -> None:
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
        for files in discover(settings.model_repository, versions=settings.versions)
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


async def _classify_one(pipeline: Pipeline, path: Path, options: ClassifyOptions) -> FileResult:
    began = time.monotonic()
    answer: Classification | None = None
    error: LapsError | None = None
    try:
        descriptor = await asyncio.to_thread(os.open, path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            answer = await pipeline.classify(descriptor, options)
        finally:
            os.close(descriptor)
    except LapsError as exc:
        error = exc
    except OSError as exc:
        error = BadParameter(f"cannot be read: {exc.strerror}")
    return FileResult(path, answer, error, time.monotonic() - began)


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
    for name in ("file", "score", "label", "then", "seconds"):
        table.add_column(name, overflow="fold")
    for body in bodies:
        if "error" in body:
            told = f"[red]{escape(body['error']['message'])}[/]"
            if body["error"]["hint"]:
                told += f"\n{escape(body['error']['hint'])}"
            table.add_row(escape(body["path"]), "-", told, "", "")
            continue
        best, *rest = body["predictions"]
        others = ", ".join(f"{item['label']} {item['score']:.3f}" for item in rest)
        seconds = body["timings_ms"]["total"] / 1000
        table.add_row(
            escape(body["path"]), f"{best['score']:.3f}", escape(best["label"]), escape(others), f"{seconds:.1f}"
        )
    return table
