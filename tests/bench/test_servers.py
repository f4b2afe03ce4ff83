"""A server's cost is that of all its processes."""

from __future__ import annotations

import subprocess
import sys

from bench.servers import Server, family

BURN_S = 0.2
BURN = f"""
import sys, time
while time.process_time() < {BURN_S}: pass
print("burnt", flush=True)
sys.stdin.read()
"""
# A child that ends, then one that stays.
TWO_CHILDREN = f"""
import subprocess, sys
for stays in (False, True):
    child = subprocess.Popen([sys.executable, "-c", {BURN!r}], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    child.stdout.readline()
    if not stays:
        child.communicate()
print("ready", flush=True)
sys.stdin.read()
"""


def test_processor_seconds_are_those_of_children_too_whether_they_ended_or_not() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", TWO_CHILDREN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        server = Server("", process.pid)
        assert len(family(process.pid)) == 2
        assert server.cpu_s >= 2 * BURN_S - 0.05  # counted in ticks of 10 ms
        assert server.peak_bytes >= server.resident_bytes > 2**20
        process.communicate()
