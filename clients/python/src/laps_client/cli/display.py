"""What goes to standard error: messages, and on a terminal a bar for each upload and one for all files."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from laps_client._events import Event, Partial, SegmentDone
from laps_client._outcome import FilePath, Outcome
from laps_client.cli.exit_status import CommandFailed
from laps_client.cli.standard_streams import send_nowhere
from laps_client.cli.terminal_text import printable
from laps_client.errors import LapsError, ServerError

_NAME_WIDTH = 40
_LABEL_WIDTH = 24
_WAITING = "classifying"
_MOST_WARNINGS = 100  # remembered, so that none is printed twice


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Go quiet. Rich would end the command when nobody reads its messages any more, and lose results."""
        self.quiet = True
        send_nowhere(sys.stderr)


class Display:
    """Used from one thread.

    Args:
        quiet: errors alone.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._console = _Console(stderr=True, highlight=False)
        self._quiet = quiet
        self._warned: set[str] = set()
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[status]}", markup=False),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=quiet or not self._console.is_terminal,
            redirect_stdout=False,  # standard output is data and may go elsewhere
            redirect_stderr=False,
        )
        self._all = self._progress.add_task("files", total=None, status="")
        self._done = 0
        self._failed = 0
        self._uploads: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    @property
    def failures(self) -> int:
        """Files and folders that failed."""
        return self._failed

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Take the bars off the terminal while something else is printed to it."""
        running = not self._progress.disable and self._progress.live.is_started
        if running:
            self._progress.stop()
        try:
            yield
        finally:
            if running:
                self._progress.start()

    def uploading(self, path: FilePath, sent: int, size: int | None) -> None:
        """How far an upload is."""
        name = os.fspath(path)
        if name not in self._uploads:
            self._uploads[name] = self._progress.add_task(_short(name), total=size, status="")
        waiting = size is not None and sent >= size
        status = _WAITING if waiting else f"{sent / 1e6:.1f} MB"
        # Without a total the bar moves by itself, until the server sends its first event.
        self._progress.update(self._uploads[name], completed=sent, total=None if waiting else size, status=status)

    def event_received(self, path: FilePath, event: Event) -> None:
        """How far the server is with a file, and its best label so far."""
        if (upload := self._uploads.get(os.fspath(path))) is None:
            return
        if isinstance(event, Partial):
            done, total, what = event.views_done, event.views_total, "views"
        elif isinstance(event, SegmentDone):
            done, total, what = event.segments_done, event.segments_total, "segments"
        else:
            self._progress.update(upload, completed=0, total=None, status=_WAITING)
            return
        status = f"{done} of {total} {what}, {_cut(printable(event.top.label))}"
        self._progress.update(upload, completed=done, total=total, status=status)

    def finished(self, outcome: Outcome[FilePath]) -> None:
        """A file is done; print its error, and each of the server's warnings once."""
        upload = self._uploads.pop(os.fspath(outcome.path), None)
        if upload is not None:
            self._progress.remove_task(upload)
        self._done += 1
        if outcome.error is not None:
            self._failed += 1
            self.failed(os.fspath(outcome.path), outcome.error)
        elif outcome.result is not None and not self._quiet:
            for warning in outcome.result.warnings:
                if warning not in self._warned and len(self._warned) < _MOST_WARNINGS:
                    self._warned.add(warning)
                    self.say(f"warning: {warning}", style="yellow")
        status = f"{self._done} done" + (f", {self._failed} failed" if self._failed else "")
        self._progress.update(self._all, completed=self._done, status=status)

    def expect(self, total: int, *, done: int) -> None:
        """How many files there are, and how many of them an earlier run did."""
        self._done = done
        self._progress.update(self._all, total=total, completed=done, status=f"{done} done")

    def failed(self, name: str, error: LapsError) -> None:
        """A file's error, which is printed even with ``quiet``."""
        what = _with_hint(error.message.removeprefix(f"{name}: "), error.hint)
        facts = f"{error.code}, request {error.request_id}" if isinstance(error, ServerError) else error.code
        self._print(f"{printable(name)}: {what} [{facts}]", "red")

    def unreadable(self, error: OSError) -> None:
        """A folder that cannot be searched."""
        self._failed += 1
        self._print(printable(f"{error.filename}: {error.strerror}"), "red")

    def say(self, message: str, *, style: str = "dim") -> None:
        """A message that is left out with ``quiet``."""
        if not self._quiet:
            self._print(printable(message), style)

    def command_failed(self, failure: CommandFailed) -> None:
        """Why the command ends here."""
        self._print(f"laps: {_with_hint(failure.message, failure.hint)}", "bold red")

    def _print(self, message: str, style: str) -> None:
        with self.aside():
            try:
                self._console.print(Text(message, style=style), soft_wrap=True)
            except OSError:  # a full disk, or the like
                self._console.on_broken_pipe()


def _with_hint(message: str, hint: str | None) -> str:
    return printable(f"{message}; {hint}" if hint else message)


def _short(name: str) -> str:
    shown = printable(os.path.basename(name))  # noqa: PTH119 - what was given may be no Path
    return shown if len(shown) <= _NAME_WIDTH else f"…{shown[1 - _NAME_WIDTH :]}"


def _cut(label: str) -> str:
    return label if len(label) <= _LABEL_WIDTH else f"{label[: _LABEL_WIDTH - 1]}…"
