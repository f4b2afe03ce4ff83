"""What Ray says while a job runs, cut down to what its operator can use; what is raised says the rest.

Ray Data tells an error that a job ends with twice over, each time with all frames of its own code.
"""

from __future__ import annotations

import io
import logging
import re
from typing import TextIO

from ray.exceptions import RayError

_OURS = re.compile(r"^laps_server\.errors\.\w+: (.+)$", re.MULTILINE)
_MACHINE = re.compile(r"\bip=([^,)\s]+)")
_TRIED_AGAIN = "retries remaining, so the task will be retried"
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class FirstLines(io.TextIOBase):
    """What Ray prints of its processes, a line of each message; that something is tried again is no news."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def write(self, text: str) -> int:
        """Hand on what begins a message, as ``(raylet) …``."""
        for line in _COLOUR.sub("", text).splitlines():
            if line.startswith("(") and _TRIED_AGAIN not in line:
                self._out.write(f"{line}\n")
        return len(text)


def shorten_data_logs() -> None:
    """Let Ray Data tell of warnings alone, and an actor that cannot start in one line."""
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    logging.getLogger("ray.data._internal.progress").setLevel(logging.ERROR)  # that bars are off is no news
    logging.getLogger("ray.data.exceptions").setLevel(logging.CRITICAL)  # the frames of what is raised anyway
    logging.getLogger("ray.data._internal.execution.operators.actor_pool_map_operator").addFilter(_in_one_line)


def reason_of(error: BaseException) -> str:
    """One line: an error of ours that an actor could not start with, and where; or the first line of Ray's own."""
    text = _COLOUR.sub("", str(error))
    ours = _OURS.search(text)
    if ours is None:
        return text.strip().partition("\n")[0]
    machine = _MACHINE.search(text)
    return f"no actor can start{f' on {machine[1]}' if machine else ''}: {ours[1]}"


def _in_one_line(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
    if isinstance(error, RayError):
        record.msg, record.args, record.exc_info = f"{reason_of(error)}; another one is tried", (), None
    return record.levelno < logging.ERROR  # errors are raised too
