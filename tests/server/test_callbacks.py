"""Whom a refusal tells to come back when, on a clock that the test moves."""

from __future__ import annotations

import random
from heapq import heappop, heappush
from itertools import count

import pytest

from laps_server.callbacks import GRACE_S, Callbacks


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_each_gets_a_moment_of_its_own_behind_the_others() -> None:
    clock = Clock()
    callbacks = Callbacks(clock)
    waits = [callbacks.refuse(f"client {number}", busy_s=3.2, service_s=2.0) for number in range(4)]
    assert waits == [4, 6, 8, 10]
    assert callbacks.promised_s == pytest.approx(8.0)
    clock.now += 100
    assert callbacks.refuse("late", busy_s=0.1, service_s=2.0) == 1, "what was promised long ago is no load"


def test_only_who_was_told_gets_in_and_only_once_and_not_early() -> None:
    clock = Clock()
    callbacks = Callbacks(clock)
    wait_s = callbacks.refuse("one", busy_s=2.5, service_s=0.5)
    assert not callbacks.keep("one")
    clock.now += wait_s
    assert not callbacks.keep("other")
    assert callbacks.keep("one")
    assert not callbacks.keep("one")
    assert callbacks.promised_s == 0


def test_who_does_not_come_is_waited_for_no_longer() -> None:
    clock = Clock()
    callbacks = Callbacks(clock)
    wait_s = callbacks.refuse("one", busy_s=0.0, service_s=5.0)
    clock.now += wait_s + GRACE_S
    assert callbacks.promised_s == 5.0
    clock.now += 0.01
    assert callbacks.promised_s == 0
    assert not callbacks.keep("one")


def test_nine_of_ten_who_wait_once_get_in() -> None:
    """200 clients who send one request after another to a server that works on 10 a second, one at a time."""
    clock, draw, number = Clock(), random.Random(3), count()
    callbacks = Callbacks(clock)
    service_s, limit_s = 0.1, 1.0
    free_at = clock.now
    events = [(clock.now + draw.random(), next(number), client, False) for client in range(200)]
    events.sort()
    waited = came_in = 0
    ends = clock.now + 300
    while events:
        clock.now, _, client, has_waited = heappop(events)
        if clock.now > ends:
            break
        who = str(client)
        busy_s = max(0.0, free_at - clock.now)
        kept = callbacks.keep(who)
        admitted = kept or busy_s + callbacks.promised_s + service_s <= limit_s
        waited += has_waited
        came_in += has_waited and admitted
        if admitted:
            free_at = max(free_at, clock.now) + service_s
            again = free_at + draw.uniform(0, 0.01)
        else:
            again = clock.now + callbacks.refuse(
                who, busy_s=max(0.0, busy_s + service_s - limit_s), service_s=service_s
            )
            again += draw.uniform(0.001, 0.02)
        heappush(events, (again, next(number), client, not admitted))
        assert free_at - clock.now < 3 * limit_s, "the queue does not grow"
    assert waited > 2000
    assert came_in / waited >= 0.9
