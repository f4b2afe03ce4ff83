"""Whether a request would be answered in time, from what waits already: asked before a byte of its body is read.

Newcomers are let in up to a part of what there is, and those who were told to come back up to the whole: so there is
room for them without anything being held free.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from laps_server.callbacks import Callbacks
from laps_server.errors import Overloaded
from laps_server.moving_average import MovingAverage
from laps_server.observe import now

NEWCOMERS_PLACES = 0.8  # share of the places that newcomers may take
# Shares of the time until a deadline that may be filled with work: the forecast may be wrong by what is left.
NEWCOMERS_TIME, TOLD_TIME = 0.7, 0.9
_HINT = "send it again after Retry-After, with the same X-Request-ID"


@dataclass(frozen=True, slots=True)
class Arrival:
    """Who asks, and whether it was told to come about now."""

    who: str
    was_told: bool


class AdmissionForecast:
    """Lets a request in, or tells it when to come back."""

    def __init__(self, callbacks: Callbacks | None = None) -> None:
        self._callbacks = callbacks or Callbacks()
        self._place = MovingAverage()  # seconds until a place gets free, while there is none
        self._left_at: float | None = None  # when the last one got free, if few were left even then

    def arrive(self, who: str) -> Arrival:
        """Somebody asks: before the checks, which change nothing unless they refuse."""
        return Arrival(who, self._callbacks.is_due(who))

    def let_in(self, arrival: Arrival) -> None:
        """The checks are passed, and the request is begun: once for each."""
        self._came_back(arrival)

    def check_places(self, arrival: Arrival, *, active: int, places: int, busy_s: Callable[[], float]) -> None:
        """Refuse what finds no place.

        Args:
            arrival: of the request.
            active: places that are taken.
            places: there are.
            busy_s: tells how long until the server is through with what it has taken; asked for only where no place has
                got free yet, since it looks at every request in flight.

        Raises:
            Overloaded: with the time to wait.
        """
        kept_back = 0 if arrival.was_told else min(self._callbacks.expected, places - _newcomers(places))
        if active < places - kept_back:
            return
        apart_s = self._place.seconds or busy_s() / max(1, active)
        wait_s = self._refuse(arrival, busy_s=apart_s, apart_s=apart_s, at_once=places - _newcomers(places))
        raise Overloaded(f"{active} requests are in flight, of {places} at most", hint=_HINT, retry_after_s=wait_s)

    def place_left(self, *, active: int, places: int) -> None:
        """A place is free again; ``active`` are still taken."""
        at = now()
        if self._left_at is not None:
            self._place.learn(at - self._left_at)
        self._left_at = at if active >= _newcomers(places) else None

    def check_time(self, arrival: Arrival, *, busy_s: float, own_s: float, apart_s: float, left_s: float) -> None:
        """Refuse what would be late.

        Args:
            arrival: of the request.
            busy_s: until what goes before it is done.
            own_s: that the request takes by itself; 0 where nothing has been measured.
            apart_s: between two requests like it that the server is through with, at its best.
            left_s: until its deadline.

        Raises:
            Overloaded: with the time to wait.
        """
        # One that would be late on an idle server is not refused for others' work, but by its deadline.
        allowed_s = max(left_s * (TOLD_TIME if arrival.was_told else NEWCOMERS_TIME), own_s)
        if busy_s + own_s <= allowed_s:
            return
        room_s = left_s * (TOLD_TIME - NEWCOMERS_TIME)
        at_once = int(room_s / apart_s) if apart_s else 1
        wait_s = self._refuse(arrival, busy_s=busy_s + own_s - allowed_s, apart_s=apart_s, at_once=at_once)
        raise Overloaded(
            f"what goes before it takes about {busy_s:.1f} s, and the request has {left_s:.1f} s",
            hint=f"{_HINT}, or with a later deadline",
            retry_after_s=wait_s,
        )

    def _came_back(self, arrival: Arrival) -> None:
        if arrival.was_told:
            self._callbacks.keep(arrival.who)

    def _refuse(self, arrival: Arrival, *, busy_s: float, apart_s: float, at_once: int) -> int:
        """Seconds to wait, in place of those that it has waited."""
        self._came_back(arrival)
        return self._callbacks.refuse(arrival.who, busy_s=busy_s, service_s=apart_s, at_once=at_once)


def _newcomers(places: int) -> int:
    return max(1, int(places * NEWCOMERS_PLACES))
