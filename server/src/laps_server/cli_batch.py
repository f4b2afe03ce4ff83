"""``laps-server batch``: many videos into a data set, on one machine or on a Ray cluster.

What it needs is loaded when it runs, since the extra ``scale`` brings it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from laps_server.classify_options import ClassifyOptions
from laps_server.cli_output import results_alone
from laps_server.errors import BadParameter
from laps_server.observe import now
from laps_server.settings import Settings

if TYPE_CHECKING:
    from laps_server.scale.batch import BatchProgress
    from laps_server.scale.settings import RaySettings

EXTRA_HINT = "pip install 'laps-server[scale]'"
_SHOWN_FAILURES = 20
_SECONDS_BETWEEN_LINES = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRequest:
    """What the command line asks for, but for the pipeline's settings and the options of each video.

    ``seed`` is None where the order is not to be shuffled.
    """

    source: str
    destination: str
    row_format: str
    column: str
    limit: int | None
    seed: int | None
    max_errors: int | None
    retry_failed: bool
    actors: str
    cpus_per_actor: float
    gpus_per_actor: float
    videos_per_file: int | None
    all_labels: bool


def run(request: BatchRequest, settings: Settings, ray_settings: RaySettings, options: ClassifyOptions) -> bool:
    """Classify and show how it goes; whether each video has an answer now.

    Raises:
        ModelError, BadRequest: the command is wrong, or the repository.
        InternalError: Ray gave up.
    """
    try:
        from laps_server.scale import (  # noqa: PLC0415 - an extra, and seconds to load
            batch,
            classifier,
            ray_messages,
            ray_session,
            row_files,
            video_sources,
        )
    except ModuleNotFoundError as exc:
        raise BadParameter(f"batch needs {exc.name}, which is not installed", hint=EXTRA_HINT) from exc
    # What can be wrong is found before Ray starts.
    least, most = actor_numbers(request.actors)
    if request.row_format not in row_files.FORMATS:
        raise BadParameter(f"format {request.row_format!r} is not known", hint=" or ".join(row_files.FORMATS))
    files = row_files.RowFiles(request.destination, request.row_format)
    asked = batch.checked_options(
        classifier.with_models(settings, ray_settings.model_url), options, all_labels=request.all_labels
    )
    videos = ordered(video_sources.find_sources(request.source, column=request.column), request.seed)[: request.limit]
    with results_alone(ray_messages.FirstLines) as results, ray_session.ray_session(ray_settings):
        report = BatchReport(Console(stderr=True, highlight=False), Console(file=results, highlight=False))
        job = batch.classify_into(
            files,
            videos,
            settings=settings,
            options=asked,
            actors=batch.ActorPool(
                least=least,
                most=most,
                cpus=request.cpus_per_actor,
                gpus=request.gpus_per_actor,
                model_url=ray_settings.model_url,
            ),
            block_videos=request.videos_per_file,
            retry_failed=request.retry_failed,
            max_errors=request.max_errors,
        )
        with closing(job):
            last = report.follow(job)
        report.summary(request.destination)
    return last is not None and last.failed == last.left == 0


def ordered(videos: list[str], seed: int | None) -> list[str]:
    """The videos in the order of a run, the same whenever it is asked again."""
    chosen = list(videos)
    if seed is not None:
        random.Random(seed).shuffle(chosen)
    return chosen


def label_count(text: str | None) -> int | None:
    """A number of labels; None for all of them and where none is given.

    Raises:
        BadParameter: it is neither.
    """
    if text is None or text == "all":
        return None
    if not text.isdecimal():
        raise BadParameter(f"top_k {text!r} is no number", hint="a number, or all")
    return int(text)


def actor_numbers(text: str) -> tuple[int, int | None]:
    """Least and most actors of ``auto``, ``4`` or ``2-16``.

    Raises:
        BadParameter: it is none of these.
    """
    if text == "auto":
        return 1, None
    match = re.fullmatch(r"([0-9]{1,6})(?:-([0-9]{1,6}))?", text)
    least, most = (0, 0) if match is None else (int(match[1]), int(match[2] or match[1]))
    if not 1 <= least <= most:
        raise BadParameter(f"actors {text!r} cannot be started", hint="auto, a number, or least and most as 2-16")
    return least, most


class BatchReport:
    """Shows how far a job is: a bar on a terminal, a line now and then elsewhere, and at the end what failed."""

    def __init__(self, errors: Console, results: Console) -> None:
        self._errors = errors
        self._results = results
        self._began = now()
        self._told = now()
        self._failures: list[tuple[str, str, str]] = []
        self._last: BatchProgress | None = None

    def follow(self, job: Iterable[BatchProgress]) -> BatchProgress | None:
        """Show a job until it ends; returns how it ended."""
        with Progress(
            TextColumn("classifying"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[state]}"),
            console=self._errors,
            transient=True,
            redirect_stdout=False,  # it is redirected already
            disable=not self._errors.is_terminal,
        ) as bar:
            task = bar.add_task("", total=None, state="starting")
            for progress in job:
                self._last = progress
                self._failures += progress.failures[: _SHOWN_FAILURES - len(self._failures)]
                done = progress.skipped + progress.done
                bar.update(task, total=progress.total, completed=done, state=self._state(progress))
                if not self._errors.is_terminal and now() - self._told >= _SECONDS_BETWEEN_LINES:
                    self._told = now()
                    line = f"{done} of {progress.total} videos, {self._state(progress)}"
                    self._errors.print(line, markup=False, soft_wrap=True)
        return self._last

    def summary(self, destination: str) -> None:
        """What failed on standard error, and one line of the whole on standard output."""
        if self._last is None:
            return
        last = self._last
        for path, code, message in self._failures:
            self._errors.print(f"{path}: {message} ({code})", markup=False, soft_wrap=True)
        if (more := last.failed - len(self._failures)) > 0:
            self._errors.print(f"and {more} more, whose rows have an error_code", markup=False)
        seconds = now() - self._began
        parts = [f"{last.done} videos in {last.rows} rows", f"{last.failed} failed", f"{last.skipped} were there"]
        if last.left:
            parts.append(f"{last.left} left")
        rate = f"{last.done / seconds:.1f} videos/s" if seconds else ""
        self._results.print(f"{destination}: {', '.join(parts)}; {seconds:.1f} s, {rate}", markup=False, soft_wrap=True)
        if last.stopped:
            self._errors.print("stopped: too many videos failed; the same command goes on", markup=False)

    def _state(self, progress: BatchProgress) -> str:
        seconds = now() - self._began
        rate = progress.done / seconds if seconds else 0.0
        left = f"{_duration(progress.left / rate)} left" if rate else "starting"
        return f"{rate:.1f} videos/s, {left}, {progress.failed} failed"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
