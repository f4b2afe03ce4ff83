"""Clients of two kinds: those that send the next request when the last one is answered, and those that do not wait."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field
from itertools import count

from bench.overload.requests import REFUSED, Exchange, Target, exchange

_numbers = count()


@dataclass
class Seen:
    """All exchanges of a phase: first tries, those that waited once as long as they were told, and those that did more
    often.
    """

    first: list[Exchange] = field(default_factory=list)
    back: list[Exchange] = field(default_factory=list)
    again: list[Exchange] = field(default_factory=list)

    @property
    def all(self) -> list[Exchange]:
        """All of them."""
        return [*self.first, *self.back, *self.again]


async def closed_loop(target: Target, clients: int, seconds: float) -> Seen:
    """Each client sends one request after the other; one that is refused waits as it is told and sends it again."""
    seen, ends = Seen(), time.monotonic() + seconds

    async def client(number: int) -> None:
        await asyncio.sleep(random.random() * min(1.0, clients / 50))
        while time.monotonic() < ends:
            await _until_in(target, seen, ends, slowly=number % 2 == 1)

    await _all_by(ends, [client(number) for number in range(clients)])
    return seen


async def open_loop(target: Target, rate: float, seconds: float) -> Seen:
    """Requests at a rate, whatever the server says; one that is refused comes once more, as it is told."""
    seen, began = Seen(), time.monotonic()
    ends = began + seconds
    tasks: list[asyncio.Task[None]] = []
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
        tasks.append(asyncio.create_task(_until_in(target, seen, ends, slowly=number % 2 == 1, tries=2)))
    await _all_by(ends, tasks)
    return seen


async def _until_in(target: Target, seen: Seen, ends: float, *, slowly: bool, tries: int = 1000) -> None:
    request_id = f"overload-{next(_numbers)}"
    for number in range(tries):
        found = await exchange(target, request_id, slowly=slowly)
        (seen.first, seen.back, seen.again)[min(number, 2)].append(found)
        if found.status != REFUSED or found.retry_after_s is None or time.monotonic() > ends:
            return
        await asyncio.sleep(found.retry_after_s + random.random() * 0.05)


async def _all_by(ends: float, work: list) -> None:  # type: ignore[type-arg]
    tasks = [asyncio.ensure_future(one) for one in work]
    await asyncio.sleep(max(0.0, ends - time.monotonic()))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
