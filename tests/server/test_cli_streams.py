"""What reaches a terminal of all that is written by a command and the Ray in it."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import os, sys
from laps_server.cli_streams import without_noise
with without_noise() as (real, _):
    os.write(2, b"[E 1] Actor 'A' has constructor arguments in the object store and max_restarts > 0.\\n")
    print("(raylet) Task A.get_location failed. Error: Traceback")
    print("(raylet) A worker was killed: out of memory\\n  File one\\n")
    print("real", file=real, flush=True)
    if sys.argv[1] == "crashes":
        os.write(2, b"native trace\\n")
        os.abort()
print("result")
print("after", file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("how", "status", "results", "last"), [("ends", 0, "result\n", "after"), ("crashes", -6, "", "native trace")]
)
def test_standard_error_has_what_happened_and_no_noise(how: str, status: int, results: str, last: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout) == (status, results)
    assert set(done.stderr.splitlines()) == {"(raylet) A worker was killed: out of memory", "real", last}
