"""Who was told to come back, and when: so that those who wait as long as they were told get in.

A request that is refused gets a moment of its own, behind those of the ones that were refused before it. Moments lie so
far apart that those who come back take a part of what the server can do, and newcomers the rest of it::

    now         there is room     refused 1       refused 2       refused 3
     |──── work that waits ────────|───────────────|───────────────|
                                    a request's work ÷ SHARE

Nothing is held free for them, so a server never idles for clients that do not come back; that those who do get in is
since newcomers are refused a little earlier (:mod:`laps_server.admission_forecast`). Where few come back, moments lie
closer: an hour's wait behind clients that left would help nobody.

``Retry-After`` has whole seconds, so those who are refused within one second would all come within one: a later second
is told where too many come at the same time already.

Who comes back is known by the request id that it sends again, else by its key or its address. Of one address that sends
many requests without ids, new ones take what was promised to others of it: nothing tells them apart. Pure arithmetic on
a clock.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

from laps_server.observe import now

GRACE_S = 5.0  # so much later than told, it still counts as told
EARLY_S = 0.1  # clocks and timers differ
SHARE = 0.7  # of what the server can do, for those who come back: its measured speed may be wrong by the rest
FEWEST_BACK = 0.05  # of those who were told, this share is reckoned with at least
_NEWEST = 0.02  # share of the newest in how many come back
MOST_PROMISES = 20_000  # remembered; whoever is refused beyond is a newcomer when it comes back


@dataclass(frozen=True, slots=True, order=True)
class _Callback:
    at: float
    who: str


class Callbacks:
    """The moments that were told, until somebody came or nobody did."""

    def __init__(self, clock: Callable[[], float] = now) -> None:
        self._clock = clock
        self._told: list[_Callback] = []  # in order of their moments
        self._moments: dict[str, list[float]] = {}  # of each identity, which may have several
        self._last = 0.0  # the latest moment, before it was rounded
        self._back = 1.0  # share of those who were told that came

    @property
    def expected(self) -> int:
        """How many were told to come, and may."""
        self._forget()
        return len(self._told)

    def refuse(self, who: str, *, busy_s: float, service_s: float, at_once: int) -> int:
        """A moment for ``who``: whole seconds from now, as ``Retry-After`` has them.

        Args:
            who: a request's id, a key's, or an address.
            busy_s: until the server could take the request if nobody else came back before it.
            service_s: between two requests that the server is through with, at its best.
            at_once: for how many of those who come back there is room at any moment.
        """
        self._forget()
        at = self._clock()
        apart_s = service_s / SHARE * max(self._back, FEWEST_BACK)
        moment = max(at + busy_s, self._last + apart_s)
        self._last = moment
        wait_s = self._free_second(at, max(1, ceil(moment - at)), apart_s=apart_s, at_once=max(1, at_once))
        if len(self._told) < MOST_PROMISES:
            insort(self._told, _Callback(at + wait_s, who))
            insort(self._moments.setdefault(who, []), at + wait_s)
        return wait_s

    def is_due(self, who: str) -> bool:
        """Whether ``who`` was told to come about now."""
        self._forget()
        moments = self._moments.get(who)
        return moments is not None and moments[0] <= self._clock() + EARLY_S

    def keep(self, who: str) -> bool:
        """The same, and it came: that is so once."""
        if not self.is_due(who):
            return False
        callback = _Callback(self._moments[who][0], who)
        del self._told[bisect_left(self._told, callback)]
        self._drop(callback)
        self._came(1.0)
        return True

    def _free_second(self, at: float, wait_s: int, *, apart_s: float, at_once: int) -> int:
        """The first number of seconds from ``wait_s`` on after which not too many others come too."""
        half_s = min(at_once * apart_s, 1.0) / 2
        while True:
            moment = at + wait_s
            begin = bisect_left(self._told, moment - half_s, key=_moment)
            if bisect_left(self._told, moment + half_s, key=_moment) - begin < at_once:
                return wait_s
            wait_s += 1

    def _forget(self) -> None:
        """Nobody came for these."""
        gone = bisect_left(self._told, self._clock() - GRACE_S, key=_moment)
        for callback in self._told[:gone]:
            self._drop(callback)
            self._came(0.0)
        del self._told[:gone]

    def _came(self, share: float) -> None:
        self._back += (share - self._back) * _NEWEST

    def _drop(self, callback: _Callback) -> None:
        moments = self._moments[callback.who]
        moments.remove(callback.at)
        if not moments:
            del self._moments[callback.who]


def _moment(callback: _Callback) -> float:
    return callback.at
