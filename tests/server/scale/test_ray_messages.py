"""What of Ray's messages reaches whoever runs a job."""

from __future__ import annotations

import subprocess
import sys

import pytest
from ray.exceptions import RayError

from laps_server.scale.ray_messages import reason_of

DIED = """The actor died because of an error in its creation task, \x1b[36mray::MapWorker.__init__()\x1b[39m (pid=7, \
ip=10.0.0.7, actor_id=1)
  File "/usr/lib/ray/worker.py", line 1, in __init__
    raise last_exception
laps_server.errors.NoModels: model repository /models does not exist"""
PROGRAM = """
import os, sys
from laps_server.scale.ray_messages import without_noise
with without_noise() as real:
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
    ("text", "reason"),
    [
        pytest.param(DIED, "no actor can start on 10.0.0.7: model repository /models does not exist", id="ours"),
        pytest.param("The node died.\n\tactor_id: 1", "The node died.", id="Ray's"),
    ],
)
def test_a_reason_is_one_line(text: str, reason: str) -> None:
    assert reason_of(RayError(text)) == reason


@pytest.mark.parametrize(
    ("how", "status", "results", "last"), [("ends", 0, "result\n", "after"), ("crashes", -6, "", "native trace")]
)
def test_standard_error_has_what_happened_and_no_noise(how: str, status: int, results: str, last: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout) == (status, results)
    assert set(done.stderr.splitlines()) == {"(raylet) A worker was killed: out of memory", "real", last}
