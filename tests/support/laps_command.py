"""Runs ``laps``: in this process where that will do, since starting one is most of its time, else in one of its own."""

from __future__ import annotations

import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping
from dataclasses import dataclass
from fcntl import ioctl
from pathlib import Path
from typing import Any

import pytest

from laps_client.cli import main

# A test run in a shell's background ignores interrupts, and so would the processes that it starts.
_HEAR_INTERRUPTS = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
COMMAND = [sys.executable, "-W", "error", "-c", f"{_HEAR_INTERRUPTS}; from laps_client.cli import main; main()"]
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


@dataclass(frozen=True)
class FinishedCommand:
    """``out`` is standard output, ``err`` standard error."""

    status: int
    out: str
    err: str


class LapsCommand:
    """The command in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capture = capture

    def __call__(self, *args: object, url: str | None = None) -> FinishedCommand:
        if url is not None:
            self._monkeypatch.setenv("LAPS_URL", url)
        self._monkeypatch.setattr(sys, "argv", ["laps", *map(str, args)])
        self._capture.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        said = self._capture.readouterr()
        return FinishedCommand(int(ended.value.code or 0), said.out, said.err)


def started(*args: object, url: str, env: Mapping[str, str] | None = None, **options: Any) -> subprocess.Popen[str]:
    """The command in a process of its own, with pipes."""
    return subprocess.Popen(
        [*COMMAND, *map(str, args)],
        env={**os.environ, "LAPS_URL": url, **(env or {})},
        text=True,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
    )


def on_terminal(*args: object, url: str, cwd: Path, columns: int = 100) -> tuple[int, str, str]:
    """The command on a terminal; status, what it showed without escapes, and with them."""
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    env = {**os.environ, "LAPS_URL": url, "TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8"}
    for name in ("NO_COLOR", "COLUMNS"):  # workers of xdist have the latter
        env.pop(name, None)
    process = subprocess.Popen([*COMMAND, *map(str, args)], stdout=theirs, stderr=theirs, cwd=cwd, env=env)
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 65536):
            shown += piece
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(ours)
    text = shown.decode()
    return process.wait(60), _ESCAPE.sub("", text).replace("\r", ""), text
