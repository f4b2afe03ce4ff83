"""What one checkout of the server costs beside another, on the same requests in turn.

    git worktree add ../before COMMIT
    python -m bench.versus ../before . --video clip.mp4 --rounds 10

Both servers run at once, on one model repository or each on its own, and only one works at a time. For each scenario
the processor seconds of the server's process and the seconds of a request (or to its first view's event) are printed
as medians, and as the median of the ratios round by round. With a checkout beside itself it prints the noise.
"""

from __future__ import annotations

import argparse
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
from bench.servers import Server, serving

EVENTS = {"Accept": "text/event-stream"}


@dataclass(frozen=True)
class Scenario:
    """``requests`` of one query, ``at_once`` of them; ``first`` leaves a stream at the event of that name."""

    name: str
    query: str
    requests: int
    at_once: int = 1
    first: str | None = None


SCENARIOS = (
    Scenario("one by one", "", 8),
    Scenario("eight at once", "", 16, at_once=8),
    Scenario("segments=2s", "segments=2s", 4),
    Scenario("first view of 5x3", "views=5x3", 5, first="partial"),
)


def seconds_of(server: Server, scenario: Scenario, video: bytes) -> float:
    """Seconds of one request, or to the event at which it is left."""
    began = time.perf_counter()
    url = f"{server.url}/classify?{scenario.query}"
    if scenario.first is None:
        httpx.post(url, content=video, timeout=600).raise_for_status()
        return time.perf_counter() - began
    with httpx.stream("POST", url, content=video, headers=EVENTS, timeout=600) as response:
        for line in response.iter_lines():
            if line == f"event: {scenario.first}":
                return time.perf_counter() - began
    raise RuntimeError(f"no event {scenario.first}")


def measure(server: Server, scenario: Scenario, video: bytes) -> tuple[float, float]:
    """Processor seconds of the server, and median seconds of a request."""
    before = server.cpu_s
    with ThreadPoolExecutor(scenario.at_once) as pool:
        seconds = list(pool.map(lambda _: seconds_of(server, scenario, video), range(scenario.requests)))
    return server.cpu_s - before, statistics.median(seconds)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--video", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--model-repository", type=Path, help="for both; each checkout's own if not given")
    arguments = parser.parse_args()
    video = arguments.video.read_bytes()
    repository = arguments.model_repository
    with serving(arguments.before, repository) as one, serving(arguments.after, repository) as other:
        for scenario in SCENARIOS:
            pairs = [(measure(one, scenario, video), measure(other, scenario, video)) for _ in range(arguments.rounds)]
            for place, what in enumerate(("processor s", "request s")):
                before = statistics.median(pair[0][place] for pair in pairs)
                after = statistics.median(pair[1][place] for pair in pairs)
                ratio = statistics.median(pair[1][place] / pair[0][place] for pair in pairs)
                print(f"{scenario.name:<20} {what:<12} {before:8.3f} {after:8.3f}  after/before {ratio:.3f}")


if __name__ == "__main__":
    main()
