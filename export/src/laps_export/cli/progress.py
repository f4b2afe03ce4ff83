"""How commands show what takes long: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from laps_export.progress import OnProgress


def progress_bar(*, everywhere: bool = False) -> Progress:
    """A bar on the error stream that is gone afterwards.

    Args:
        everywhere: show it where there is no terminal too.
    """
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not (everywhere or console.is_terminal),
    )


def reporter(progress: Progress, task: TaskID) -> OnProgress:
    """Moves the bar; without a terminal, a line for each stage, so that a log shows where the minutes go."""
    last = ""

    def report(what: str, done: int, total: int) -> None:
        nonlocal last
        progress.update(task, description=what, completed=done, total=total)
        if not progress.console.is_terminal and what != last:
            typer.echo(what, err=True)
            last = what

    return report
