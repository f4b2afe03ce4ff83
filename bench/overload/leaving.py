"""How soon a server forgets a client that left: its place, and its views in the queue."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass

from bench.overload.requests import Target, _head

LEAVING_S = 0.25
TURNS = 5
_GAUGES = re.compile(r"^laps_(requests_in_flight|queue_views(?:\{[^}]*\})?) ([0-9.e+]+)$", re.MULTILINE)
# A stage, the share of the body that is sent, and seconds from then until the client leaves.
STAGES = (
    ("while it sends", 0.5, 0.1),
    ("while it is decoded", 1.0, 0.03),
    ("with views in the queue or the engine", 1.0, 0.12),
)
OTHERS = 6  # who wait at the same time, so that there is a queue


@dataclass(frozen=True)
class Left:
    """The longest of several turns from the moment at which clients left to that at which nothing of them was held."""

    stage: str
    freed_s: float


async def leave(target: Target) -> list[Left]:
    """Several clients at a time leave at each stage."""
    found = []
    for stage, share, wait_s in STAGES:
        longest = 0.0
        for _ in range(TURNS):
            longest = max(longest, await _turn(target, share, wait_s))
        found.append(Left(stage, longest))
    return found


async def _turn(target: Target, share: float, wait_s: float) -> float:
    while await held(target):
        await asyncio.sleep(0.05)
    writers = []
    for number in range(OTHERS):
        _, writer = await asyncio.open_connection(target.host, target.port)
        writer.write(_head(target, f"leaves-{number}") + target.video[: int(share * len(target.video))])
        await writer.drain()
        writers.append(writer)
    await asyncio.sleep(wait_s)
    for writer in writers:
        writer.close()
    left = time.monotonic()
    while await held(target):
        await asyncio.sleep(0.005)
    return time.monotonic() - left


async def held(target: Target) -> float:
    """Places that are taken and views that wait, as the server's metrics tell them."""
    reader, writer = await asyncio.open_connection(target.host, target.port)
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    text = (await reader.read()).decode()
    writer.close()
    found = _GAUGES.findall(text)
    if not any(name == "requests_in_flight" for name, _ in found):
        raise LookupError("the server's metrics do not tell laps_requests_in_flight")
    return sum(float(value) for _, value in found)
