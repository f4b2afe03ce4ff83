"""Files that a command writes at its end: a bad name is refused before the first upload, not hours later."""

from __future__ import annotations

import os
from pathlib import Path

from laps_client.cli.exit_status import not_written, wrong_use


def check_output_file(option: str, path: Path) -> None:
    """See that a file can be written there.

    Raises:
        CommandFailed: it cannot.
    """
    if not path.parent.is_dir():
        raise wrong_use(f"{option}: there is no folder {path.parent}")
    if path.is_dir():
        raise wrong_use(f"{option}: {path} is a folder", "name a file in it")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise wrong_use(f"{option}: {path} may not be written")


def write_output_file(path: Path, text: str) -> None:
    """Write it whole.

    Raises:
        CommandFailed: the disk is full, or the like.
    """
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as exc:
        raise not_written(str(path), exc) from exc
