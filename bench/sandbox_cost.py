"""What decoding in the sandbox costs beside decoding in the server's own threads.

python -m bench.sandbox_cost

Two servers of camera-motion, with LAPS_DECODE=thread and LAPS_DECODE=sandbox, take turns, round after round: videos one
by one, then four at once. Processor seconds are of all their processes.
"""

from __future__ import annotations

import argparse
import statistics
import time
from contextlib import ExitStack

from bench.loads import Load, send
from bench.measured import Cost
from bench.peer_trial import warm
from bench.servers import ROOT, Server, serving
from bench.subjects import MEMORY_SUBJECT, clip, make_models

MODES = ("thread", "sandbox")
LOADS = {"one by one": Load(12), "four at once": Load(24, at_once=4)}
MIB = 2**20


def started(mode: str, stack: ExitStack) -> tuple[Server, float]:
    """A server, and the wall seconds until it was ready."""
    began = time.perf_counter()
    server = stack.enter_context(serving(ROOT, MEMORY_SUBJECT.repository, {"LAPS_DECODE": mode}))
    return server, time.perf_counter() - began


def line(what: str, costs: dict[str, list[Cost]]) -> str:
    """One row of the table: medians, and the median of what differs from round to round."""
    pairs = list(zip(costs["thread"], costs["sandbox"], strict=True))
    thread_ms, sandbox_ms = (1000 * statistics.median(cost.cpu_s for cost in costs[mode]) for mode in MODES)
    more_ms = 1000 * statistics.median(sandbox.cpu_s - thread.cpu_s for thread, sandbox in pairs)
    wall = statistics.median(sandbox.wall_s / thread.wall_s for thread, sandbox in pairs)
    return f"| {what} | {thread_ms:.1f} | {sandbox_ms:.1f} | {more_ms:+.1f} | {wall:.3f} |"


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    make_models()
    video = clip().read_bytes()
    with ExitStack() as stack:
        servers = {mode: started(mode, stack) for mode in MODES}
        rest = {mode: server.resident_bytes for mode, (server, _) in servers.items()}
        for server, _ in servers.values():
            warm(server, 1, video)
        costs: dict[str, dict[str, list[Cost]]] = {what: {mode: [] for mode in MODES} for what in LOADS}
        for _ in range(options.rounds):
            for what, load in LOADS.items():
                for mode, (server, _) in servers.items():
                    costs[what][mode].append(send(server, load, video))
        print(f"{options.rounds} rounds\n\n| videos | thread, processor ms | sandbox | more | wall, sandbox ÷ thread |")
        print("| --- | --- | --- | --- | --- |")
        for what, measured in costs.items():
            print(line(what, measured))
        print("\n| | ready after, s | MiB when ready | MiB after the videos |\n| --- | --- | --- | --- |")
        for mode, (server, ready_s) in servers.items():
            print(f"| {mode} | {ready_s:.2f} | {rest[mode] / MIB:.0f} | {server.resident_bytes / MIB:.0f} |")


if __name__ == "__main__":
    main()
