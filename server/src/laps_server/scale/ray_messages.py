"""What Ray says while a job runs, cut down to what its operator can use; what is raised says the rest.

Ray tells an error that a job ends with three times over, each time with all frames of its own code, and one line of its
native code comes with every job that can survive the loss of an actor.
"""

from __future__ import annotations

import io
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from typing import TextIO

from ray.exceptions import RayError

# Of Ray's native code, past all loggers: the arguments of actors are in the object store of the one who runs the job,
# which lives as long as the job. See ray-project/ray issue 57733.
_NO_NEWS = "has constructor arguments in the object store and max_restarts > 0"
_COPY = f"""
import sys
for line in sys.stdin.buffer:
    if {_NO_NEWS.encode()!r} not in line:
        sys.stdout.buffer.write(line)
        sys.stdout.flush()
"""
_OURS = re.compile(r"^laps_server\.errors\.\w+: (.+)$", re.MULTILINE)
_MACHINE = re.compile(r"\bip=([^,)\s]+)")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_PATIENCE_S = 5.0


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


@contextmanager
def without_noise() -> Iterator[TextIO]:
    """Keep standard output for results, and that one line out of standard error; yields the real standard error.

    Ray prints what goes wrong with its processes: of that a first line goes to standard error. What its native code
    writes goes there through another process, which cannot be stopped by what this one holds, and has all when this one
    crashes.
    """
    sys.stderr.flush()
    with os.fdopen(os.dup(2), "w") as real:
        reading, writing = os.pipe()
        copying = subprocess.Popen([sys.executable, "-ISc", _COPY], stdin=reading, stdout=real, start_new_session=True)
        os.dup2(writing, 2)
        os.close(reading)
        os.close(writing)
        try:
            with redirect_stdout(_FirstLines()):
                yield real
        finally:
            sys.stderr.flush()
            os.dup2(real.fileno(), 2)  # the last end of the pipe that this process has
            with suppress(subprocess.TimeoutExpired):  # where a process of Ray outlives this one, and has another
                copying.wait(_PATIENCE_S)


class _FirstLines(io.TextIOBase):
    """Of each message that Ray prints, a line to standard error; an actor that cannot start is told of otherwise."""

    def write(self, text: str) -> int:
        for line in _COLOUR.sub("", text).splitlines():
            if line.startswith("(") and ".get_location failed" not in line:
                sys.stderr.write(f"{line}\n")
        return len(text)


def _in_one_line(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
    if isinstance(error, RayError):
        record.msg, record.args, record.exc_info = f"{reason_of(error)}; another one is tried", (), None
    return record.levelno < logging.ERROR  # errors are raised too
