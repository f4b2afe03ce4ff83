"""The same pipeline on Ray: whether it scales, what Ray costs a clip, and what goes over the network.

python -m bench.scale rates                                              1 and 8 on simulated machines, which sleep
python -m bench.scale costs                                              processor seconds a clip, with Ray and without
python -m bench.scale resume                                             what a job spends on what is done already
unshare --net sh -c 'ip link set lo up; python -m bench.scale traffic'   bytes a clip

Each prints Markdown and writes JSON. docs/scale.md tells of a run.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.machine import describe
from bench.report import RESULTS
from bench.scale import costs, machinery, resume, traffic
from bench.scale.clusters import simulated_cluster
from bench.scale.rates import MAX_SHORTFALL
from bench.scale.videos import short_clip
from bench.subjects import MEMORY_SUBJECT, clip, make_models

NODES = 4
WORKERS = 8
ROUNDS = 5
_SPARE_CPUS = 1


def main() -> int:
    """Measure, print, write; 1 where a figure is short."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("rates", "costs", "resume", "traffic"))
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of costs")
    parser.add_argument("--workers", type=int, default=WORKERS, help="of rates, beside one")
    parser.add_argument("--road", choices=("online", "offline"), help="of rates and costs, this alone")
    arguments = parser.parse_args()
    machine = describe()
    print(machine.line, flush=True)
    measure: dict[str, Callable[[argparse.Namespace], tuple[bool, Any]]] = {
        "rates": _rates,
        "costs": _costs,
        "resume": _resume,
        "traffic": _traffic,
    }
    reached, found = measure[arguments.what](arguments)
    out = RESULTS.with_name(f"scale-{arguments.what}.json")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"machine": asdict(machine), "found": found, "reached": reached}, indent=1) + "\n")
    print(f"\nwritten: {out}")
    return 0 if reached else 1


def _rates(arguments: argparse.Namespace) -> tuple[bool, Any]:
    video, most = short_clip(), arguments.workers
    found = []
    with tempfile.TemporaryDirectory() as name, simulated_cluster(NODES, most // NODES + _SPARE_CPUS):
        if arguments.road != "offline":
            found.append(machinery.online(most, video.read_bytes(), _say))
        if arguments.road != "online":
            found.append(machinery.offline(most, video, Path(name), _say))
    print("\n| a second a clip | 1 | | many | | many ÷ (1 x as many) | |\n| --- | --- | --- | --- | --- | --- | --- |")
    for one in found:
        rates = " | ".join(f"{rate.per_s:.3f}/s | {rate.cores:.2f} cores" for rate in (one.single, one.many))
        verdict = f"{one.ratio:.3f} | {'reached' if one.reached else 'short'}"
        print(f"| {one.road}, {one.many.workers} | {rates} | {verdict}, within {MAX_SHORTFALL:.0%} |")
    return all(one.reached for one in found), [asdict(one) | {"ratio": one.ratio} for one in found]


def _costs(arguments: argparse.Namespace) -> tuple[bool, Any]:
    make_models([MEMORY_SUBJECT])
    video, rounds = clip(), arguments.rounds
    pairs = []
    if arguments.road != "offline":
        pairs.append(costs.served(rounds, video.read_bytes(), _say))
    if arguments.road != "online":
        pairs.append(costs.offline(rounds, video, _say))
    print("\n| processor ms a clip, medians | plain | on Ray | more | with what is spent at rest | at rest, cores | |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for pair in pairs:
        plain, ray = (1000 * median for median in pair.medians)
        rest = ", ".join(f"{name} {cores:.3f}" for name, cores in pair.idle.items())
        verdict = f"{'reached' if pair.reached else 'short'}, at most {costs.MAX_MORE:.0%}"
        print(
            f"| {pair.ray_name} beside {pair.plain_name} | {plain:.1f} | {ray:.1f} | {pair.more:+.1%} | "
            f"{pair.more_gross:+.1%} | {rest} | {verdict} |"
        )
    return all(pair.reached for pair in pairs), [asdict(pair) | {"more": pair.more} for pair in pairs]


def _resume(_: argparse.Namespace) -> tuple[bool, Any]:
    with tempfile.TemporaryDirectory() as name:
        found = resume.measured(Path(name))
    print(f"\n{1000 * found.file_s:.1f} ms of a processor a file, {found.video_bytes:.0f} bytes a video")
    return True, asdict(found)


def _traffic(_: argparse.Namespace) -> tuple[bool, Any]:
    with tempfile.TemporaryDirectory() as name:
        found = traffic.measured(short_clip(), clip(), Path(name))
    columns = ("network", "of it client and proxy", "object stores", "destination", "at rest, bytes/s")
    print(f"\n| bytes a clip | {' | '.join(columns)} | driver ms a block |\n|{' --- |' * (len(columns) + 2)}")
    for one in found:
        print(
            f"| {one.road} | {one.network:.0f} | {one.client:.0f} | {one.store:.0f} | {one.destination:.0f} | "
            f"{one.idle_per_s:.0f} | {1000 * one.driver_s:.1f} |"
        )
    return True, [asdict(one) for one in found]


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
