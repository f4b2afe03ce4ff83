"""Who gets in, and what those who do not are told; crowds come to a server of arithmetic on a clock that is moved."""

from __future__ import annotations

import random
from heapq import heappop, heappush
from itertools import count

import pytest

from laps_server import admission_forecast
from laps_server.admission_forecast import NEWCOMERS_PLACES, AdmissionForecast, Arrival
from laps_server.callbacks import Callbacks
from laps_server.errors import Overloaded

NEW, TOLD = Arrival("one", was_told=False), Arrival("one", was_told=True)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def is_late(arrival: Arrival, *, busy_s: float, own_s: float = 0.5, left_s: float = 4.0) -> bool:
    try:
        AdmissionForecast().check_time(arrival, busy_s=busy_s, own_s=own_s, apart_s=own_s, left_s=left_s)
    except Overloaded:
        return True
    return False


def test_a_request_that_would_be_late_is_refused_and_told_when_it_would_not_be() -> None:
    with pytest.raises(Overloaded, match=r"takes about 9\.0 s, and the request has 4\.0 s") as found:
        AdmissionForecast().check_time(NEW, busy_s=9.0, own_s=0.5, apart_s=0.5, left_s=4.0)
    assert found.value.retry_after_s == 7  # 9.5 s of work of which 2.8 may wait: whole seconds
    assert not is_late(NEW, busy_s=2.2)


def test_who_was_told_to_come_gets_in_where_newcomers_do_not() -> None:
    assert is_late(NEW, busy_s=3.0)
    assert not is_late(TOLD, busy_s=3.0)
    assert is_late(TOLD, busy_s=3.2)


def test_what_would_be_late_on_an_idle_server_is_let_in() -> None:
    assert not is_late(NEW, busy_s=0.0, own_s=10.0, left_s=1.0)
    assert is_late(NEW, busy_s=0.1, own_s=10.0, left_s=1.0)


def test_nothing_is_refused_before_anything_was_measured() -> None:
    assert not is_late(NEW, busy_s=0.0, own_s=0.0, left_s=0.001)


def test_newcomers_leave_places_to_those_who_were_told() -> None:
    forecast = AdmissionForecast()
    forecast.check_places(NEW, active=9, places=10, busy_s=lambda: 1.0)
    for number in range(3):
        with pytest.raises(Overloaded, match="10 requests are in flight, of 10 at most"):
            forecast.check_places(Arrival(str(number), was_told=False), active=10, places=10, busy_s=lambda: 1.0)
    with pytest.raises(Overloaded):
        forecast.check_places(NEW, active=int(10 * NEWCOMERS_PLACES), places=10, busy_s=lambda: 1.0)
    forecast.check_places(TOLD, active=9, places=10, busy_s=lambda: 1.0)
    with pytest.raises(Overloaded):
        forecast.check_places(TOLD, active=10, places=10, busy_s=lambda: 1.0)


def test_the_last_place_is_anybodys() -> None:
    forecast = AdmissionForecast()
    with pytest.raises(Overloaded):
        forecast.check_places(NEW, active=1, places=1, busy_s=lambda: 0.0)
    forecast.check_places(NEW, active=0, places=1, busy_s=lambda: 0.0)


def test_places_that_get_free_slowly_are_waited_for_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(admission_forecast, "now", clock)
    forecast = AdmissionForecast(Callbacks(clock))
    for _ in range(5):  # uploads of which no engine knows
        forecast.place_left(active=9, places=10)
        clock.now += 20.0
    with pytest.raises(Overloaded) as found:
        forecast.check_places(NEW, active=10, places=10, busy_s=lambda: 0.0)
    assert found.value.retry_after_s == 20


def test_a_promise_is_kept_once_whether_who_comes_gets_in_or_is_told_again() -> None:
    clock = Clock()
    callbacks = Callbacks(clock)
    forecast = AdmissionForecast(callbacks)

    def come(busy_s: float) -> float | None:
        arrival = forecast.arrive("one")
        assert forecast.arrive("one") == arrival, "asking alone changes nothing"
        try:
            forecast.check_time(arrival, busy_s=busy_s, own_s=0.5, apart_s=0.5, left_s=4.0)
        except Overloaded as exc:
            return exc.retry_after_s
        forecast.let_in(arrival)
        return None

    wait_s = come(9.0)
    for busy_s in (9.0, 3.0):
        assert wait_s is not None
        assert callbacks.expected == 1
        clock.now += wait_s
        wait_s = come(busy_s)
    assert (wait_s, callbacks.expected) == (None, 0)


class Crowd:
    """A server of one request at a time and a deadline of 2 s, and clients who come ever again for 300 s."""

    SERVICE_S, DEADLINE_S, SECONDS = 0.1, 2.0, 300.0

    def __init__(self, *, really: float = 1.0) -> None:
        """``really``: what a request takes, as a multiple of what the forecast thinks."""
        self.clock, self.draw, self.number = Clock(), random.Random(3), count()
        self.forecast = AdmissionForecast(Callbacks(self.clock))
        self.service_s = self.SERVICE_S * really
        self.free_at = self.clock.now
        self.answered = self.waited = self.let_in = self.late = 0
        self.events: list[tuple[float, int, str, bool]] = []

    def come(self, at: float, who: str, *, has_waited: bool) -> None:
        heappush(self.events, (at, next(self.number), who, has_waited))

    def ask(self, who: str) -> float | None:
        """Come in, or None and the seconds to wait."""
        ahead = max(0.0, self.free_at - self.clock.now)
        arrival = self.forecast.arrive(who)
        try:
            self.forecast.check_time(
                arrival,
                busy_s=ahead * self.SERVICE_S / self.service_s,
                own_s=self.SERVICE_S,
                apart_s=self.SERVICE_S,
                left_s=self.DEADLINE_S,
            )
        except Overloaded as exc:
            return exc.retry_after_s
        self.forecast.let_in(arrival)
        self.free_at = max(self.free_at, self.clock.now) + self.service_s
        self.answered += 1
        self.late += self.free_at - self.clock.now > self.DEADLINE_S
        return None

    def run(self, *, come_back: bool, again: bool) -> None:
        ends = self.clock.now + self.SECONDS
        while self.events and self.events[0][0] < ends:
            self.clock.now, _, who, has_waited = heappop(self.events)
            wait_s = self.ask(who)
            self.waited += has_waited
            self.let_in += has_waited and wait_s is None
            if wait_s is not None and come_back:
                self.come(self.clock.now + wait_s + self.draw.uniform(0.001, 0.1), who, has_waited=True)
            elif wait_s is None and again:
                self.come(self.free_at, f"{who}+", has_waited=False)

    @property
    def goodput(self) -> float:
        """Of the most that there could be."""
        return (self.answered - self.late) * self.service_s / self.SECONDS


@pytest.mark.parametrize("really", [0.8, 1.0, 1.15], ids=["faster", "as thought", "slower"])
def test_nine_of_ten_who_wait_once_get_in(really: float) -> None:
    """200 clients who send one request after another, and the server is not quite as fast as is thought."""
    crowd = Crowd(really=really)
    for number in range(200):
        crowd.come(crowd.clock.now + crowd.draw.random(), str(number), has_waited=False)
    crowd.run(come_back=True, again=True)
    assert crowd.waited > 1000
    assert crowd.let_in / crowd.waited >= 0.9
    assert crowd.goodput >= 0.95


@pytest.mark.parametrize("come_back", [True, False], ids=["come back", "go away"])
def test_a_server_does_not_idle_for_those_who_were_refused(come_back: bool) -> None:
    """Five times as many requests as it can answer, for five minutes."""
    crowd = Crowd()
    for number in range(int(5 * crowd.SECONDS / crowd.SERVICE_S)):
        crowd.come(crowd.clock.now + number * crowd.SERVICE_S / 5, str(number), has_waited=False)
    crowd.run(come_back=come_back, again=False)
    assert crowd.goodput >= 0.95
    if come_back:
        assert crowd.waited > 500
        assert crowd.let_in / crowd.waited >= 0.9
