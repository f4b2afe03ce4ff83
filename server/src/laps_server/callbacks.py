"""Who was told to come back, and when: so that those who wait as long as they were told get in.

A request that is refused gets a moment of its own, behind those of the ones that were refused before it, as far apart
as the server works. Work that is promised counts as if it waited already, so nobody new takes it::

    now          the queue ends        refused 1    refused 2    refused 3
     |──── work that waits ────|────────────|────────────|────────────|
                               └ service ───┘

Who comes back is known by the request id that it sends again, else by its key or its address. Of one address that sends
many requests without ids, new ones take what was promised to others of it: nothing tells them apart. Pure arithmetic on
a clock.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

from laps_server.observe import now

GRACE_S = 2.0  # so much later than told, a promise still holds; then the work is given to others
EARLY_S = 0.1  # clocks and timers differ


@dataclass(frozen=True, slots=True)
class _Callback:
    at: float
    who: str
    service_s: float


class Callbacks:
    """The promises that were made and not yet kept."""

    def __init__(self, clock: Callable[[], float] = now) -> None:
        self._clock = clock
        self._promised: deque[_Callback] = deque()  # in order of their moments
        self._by_who: Counter[str] = Counter()
        self._last = 0.0  # where the last promised work ends

    @property
    def promised_s(self) -> float:
        """Seconds of work that is kept free for those who come back."""
        self._forget()
        return sum(callback.service_s for callback in self._promised)

    def refuse(self, who: str, *, busy_s: float, service_s: float) -> int:
        """A moment for ``who``: whole seconds from now, as ``Retry-After`` has them.

        Args:
            who: a key's id, or an address.
            busy_s: until the server could take the request if nobody else came back before it.
            service_s: work of the request.
        """
        at = self._clock()
        begins = max(at + busy_s, self._last)
        self._last = begins + service_s
        wait_s = max(1, ceil(begins - at))
        self._promised.append(_Callback(at + wait_s, who, service_s))
        self._by_who[who] += 1
        return wait_s

    def keep(self, who: str) -> bool:
        """Whether ``who`` was told to come about now; what was promised is given."""
        self._forget()
        if not self._by_who[who]:
            return False
        latest = self._clock() + EARLY_S
        for callback in self._promised:
            if callback.at > latest:
                return False
            if callback.who == who:
                self._drop(callback)
                return True
        return False

    def _forget(self) -> None:
        """Nobody came for these."""
        oldest = self._clock() - GRACE_S
        while self._promised and self._promised[0].at < oldest:
            self._drop(self._promised[0])

    def _drop(self, callback: _Callback) -> None:
        self._promised.remove(callback)
        self._by_who[callback.who] -= 1
        if not self._by_who[callback.who]:
            del self._by_who[callback.who]
