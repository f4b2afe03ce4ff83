"""The results file: a line of JSON for each video, by which a later run continues an interrupted one.

Each line is appended by one write, after its video is answered. So a kill loses only the videos in flight and leaves
half a line at most, which the next run removes.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from laps_client.cli.exit_status import not_written, wrong_use
from laps_client.cli.video_files import location_of

PATH = "path"  # as it was given
FILE = "file"  # its absolute path, since a later run may start in another folder
TRUTH = "truth"  # in lines of laps evaluate
_BEGINNING = b'{"path": "'  # of every line that append() writes
_TAIL_BYTES = 1 << 16


class ResultsFile:
    """A results file, open for appending by this process alone.

    Args:
        path: created if it is not there.

    Raises:
        CommandFailed: it cannot be written, is not a results file, or another run writes to it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
        except OSError as exc:
            raise wrong_use(f"{path}: {exc.strerror}") from exc
        try:
            if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):  # a pipe may never end
                raise wrong_use(f"{path} is no file that holds lines", "give a new one to --skip-done")
            _lock(self._descriptor, path)
            self._mend()
        except OSError as exc:
            self.close()
            raise wrong_use(f"{path}: {exc.strerror}") from exc
        except BaseException:
            self.close()
            raise

    def rows(self) -> Iterator[dict[str, Any]]:
        """What earlier runs wrote, in order.

        Raises:
            CommandFailed: a line is not one of a results file.
        """
        with self.path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield self._parsed(line, number)

    def append(self, row: Mapping[str, Any]) -> None:
        """Add one line; its ``path`` comes first.

        Raises:
            CommandFailed: it cannot be written, as on a full disk. The next run removes the part that was written.
        """
        line = memoryview(json.dumps({PATH: row[PATH], **row}).encode("ascii") + b"\n")
        try:
            while line:  # once, but for a full disk or a signal
                line = line[os.write(self._descriptor, line) :]
        except OSError as exc:
            hint = "what it holds is whole: with more room, the same command goes on"
            raise not_written(str(self.path), exc, hint) from exc

    def is_same_file(self, descriptor: int) -> bool:
        """Whether an open file, as standard output, is this one."""
        try:
            return os.path.samestat(os.fstat(descriptor), os.fstat(self._descriptor))
        except OSError:
            return False

    def close(self) -> None:
        """Let other runs write."""
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _parsed(self, line: bytes, number: int) -> dict[str, Any]:
        row = _row(line)
        if row is None:
            raise wrong_use(
                f"{self.path}: line {number} is no result",
                "give a file that this command wrote, or a new one",
            )
        return row

    def _mend(self) -> None:
        """Remove the half line that a kill may have left, or end a whole last line."""
        size = os.lseek(self._descriptor, 0, os.SEEK_END)
        if size == 0:
            return
        tail, start = b"", size
        while start > 0 and b"\n" not in tail:
            start = max(0, start - _TAIL_BYTES)
            os.lseek(self._descriptor, start, os.SEEK_SET)
            tail = os.read(self._descriptor, size - start)
        if tail.endswith(b"\n"):
            return
        last = tail.rpartition(b"\n")[2]
        if _row(last) is not None:
            os.write(self._descriptor, b"\n")
        elif last[: len(_BEGINNING)] == _BEGINNING[: len(last)]:
            os.ftruncate(self._descriptor, size - len(last))
        else:  # a file named by mistake stays as it is
            raise wrong_use(f"{self.path} is no results file", "give a file that this command wrote, or a new one")


def file_of_row(row: Mapping[str, Any]) -> str:
    """The absolute path of a line's video. Lines of older versions have only the path that was given."""
    file = row.get(FILE)
    return file if isinstance(file, str) else location_of(row[PATH])


def _row(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) and isinstance(row.get(PATH), str) else None


def _lock(descriptor: int, path: Path) -> None:
    with suppress(ImportError):  # not on Windows, where the user has to avoid two runs at once
        import fcntl  # noqa: PLC0415

        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            raise wrong_use(f"another run writes to {path}", "wait for it, or give another file") from exc
