"""Standard streams of a command that starts Ray, which writes to both as if it were the command.

No Ray here: it is known by what it writes.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from typing import TextIO

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
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_PATIENCE_S = 5.0


@contextmanager
def without_noise() -> Iterator[tuple[TextIO, TextIO]]:
    """Keep standard output for results, and that one line out of standard error; yields real errors, real results.

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
            results = sys.stdout
            with redirect_stdout(_FirstLines()):
                yield real, results
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
