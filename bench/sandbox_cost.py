"""What decoding in the sandbox costs beside decoding in the server's own threads.

python -m bench.sandbox_cost

Two servers of camera-motion, with LAPS_DECODE=thread and LAPS_DECODE=sandbox, take turns, round after round: videos one
by one, then eight at once. Then decoders alone take turns. Processor seconds are of all processes, those that ended
among them; what others on the machine do makes them noisy, so it is the median of what differs within a round that
counts.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack

from bench.decoder_costs import FRESH, SANDBOX, THREAD, costs, start
from bench.loads import Load, send
from bench.machine import describe
from bench.peer_trial import warm
from bench.servers import ROOT, Server, family, proportional_bytes, serving
from bench.subjects import MEMORY_SUBJECT, clip, make_models

LOADS = {"one by one": Load(8), "eight at once": Load(24, at_once=8)}
ROUNDS = 20
STARTS = 5
MIB = 2**20


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds = parser.parse_args().rounds
    make_models()
    print(f"{describe().line}\n{rounds} rounds\n")
    print("| processor ms a video | thread | sandbox | more | middle half of rounds | answers, sandbox ÷ thread |")
    print("| --- | --- | --- | --- | --- | --- |")
    of_servers, memory = served(rounds)
    for what, spent in of_servers.items():
        print(line(f"server, {what}", spent[THREAD], spent[SANDBOX]))
    alone = asyncio.run(costs(rounds))
    print(line("decoder alone", alone[THREAD], alone[SANDBOX]))
    print(line(f"decoder alone, {FRESH}", alone[THREAD], alone[FRESH]))
    started = asyncio.run(start(STARTS))
    print(
        f"\nThe process that workers are forked from is ready after {started.zygote_s:.2f} s of wall time, a worker "
        f"{1000 * started.fork_s:.1f} ms later.\nAfter a few videos they hold {started.zygote_bytes / MIB:.0f} and "
        f"{started.worker_bytes / MIB:.0f} MiB, shared pages by their share."
    )
    print("The server at rest, after the videos, with all of its processes: ", end="")
    print(", ".join(f"{mode} {size / MIB:.0f} MiB" for mode, size in memory.items()))


def served(rounds: int) -> tuple[dict[str, dict[str, list[float]]], dict[str, int]]:
    """Processor seconds of a video by load and kind of decoders; and the memory of each server afterwards."""
    video = clip().read_bytes()
    found: dict[str, dict[str, list[float]]] = {what: {THREAD: [], SANDBOX: []} for what in LOADS}
    with ExitStack() as stack:
        servers = {mode: stack.enter_context(_server(mode)) for mode in (THREAD, SANDBOX)}
        for server in servers.values():
            warm(server, LOADS["eight at once"].at_once, video)
        for number in range(rounds):
            for what, load in LOADS.items():
                for mode in sorted(servers, reverse=number % 2 == 1):
                    found[what][mode].append(send(servers[mode], load, video).cpu_s)
        memory = {mode: sum(map(proportional_bytes, family(server.pid))) for mode, server in servers.items()}
    return found, memory


def line(what: str, thread: Sequence[float], sandbox: Sequence[float]) -> str:
    """One row of the table, in milliseconds."""
    more = [1000 * (one - other) for one, other in zip(sandbox, thread, strict=True)]
    low, middle, high = statistics.quantiles(more, n=4)
    answers = statistics.median(one / other for one, other in zip(thread, sandbox, strict=True))
    medians = " | ".join(f"{1000 * statistics.median(spent):.1f}" for spent in (thread, sandbox))
    return f"| {what} | {medians} | {middle:+.1f} | {low:+.1f} to {high:+.1f} | {answers:.3f} |"


def _server(mode: str) -> AbstractContextManager[Server]:
    return serving(ROOT, MEMORY_SUBJECT.repository, {"LAPS_DECODE": mode})


if __name__ == "__main__":
    main()
