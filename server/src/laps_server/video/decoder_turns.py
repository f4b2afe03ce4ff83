"""Whose turn it is to have a decoder: the same order as that of views before an engine.

Those whose clients named deadlines go first, by these, while their deadline is nearer than that of the longest waiting
of the others; the others go in the order in which they came.
"""

from __future__ import annotations

import asyncio
import heapq
import math
from collections import deque
from itertools import count


class DecoderTurns:
    """A semaphore with that order; used on one event loop."""

    def __init__(self, decoders: int) -> None:
        self._free = decoders
        self._numbers = count()
        self._urgent: list[tuple[float, int, asyncio.Future[None]]] = []
        self._others: deque[tuple[float, asyncio.Future[None]]] = deque()

    @property
    def waiting(self) -> int:
        """Who waits for a turn."""
        futures = [*(future for _, _, future in self._urgent), *(future for _, future in self._others)]
        return sum(not future.done() for future in futures)

    async def take(self, *, deadline: float | None, urgent: bool) -> None:
        """Wait for a turn, which ends with :meth:`give_back`."""
        if self._free:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        at = math.inf if deadline is None else deadline
        if urgent:
            heapq.heappush(self._urgent, (at, next(self._numbers), turn))
        else:
            self._others.append((at, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it came in the same moment
                self.give_back()
            raise

    def give_back(self) -> None:
        """A turn is over: the next one begins."""
        while self._urgent and self._urgent[0][2].done():
            heapq.heappop(self._urgent)
        while self._others and self._others[0][1].done():
            self._others.popleft()
        if self._urgent and (not self._others or self._urgent[0][0] <= self._others[0][0]):
            heapq.heappop(self._urgent)[2].set_result(None)
        elif self._others:
            self._others.popleft()[1].set_result(None)
        else:
            self._free += 1

    def cancel(self) -> None:
        """Nobody's turn comes any more."""
        for _, _, turn in self._urgent:
            turn.cancel()
        for _, turn in self._others:
            turn.cancel()
