"""Whom a refusal tells to come back when, on a clock that the test moves."""

from __future__ import annotations

import pytest

from laps_server.callbacks import FEWEST_BACK, GRACE_S, SHARE, Callbacks


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_each_gets_a_moment_of_its_own_behind_the_others() -> None:
    callbacks = Callbacks(Clock())
    apart_s = 4.0
    waits = [
        callbacks.refuse(f"client {number}", busy_s=3.2, service_s=apart_s * SHARE, at_once=1) for number in range(4)
    ]
    assert waits == [4, 8, 12, 16]
    assert callbacks.expected == 4


def test_what_was_told_long_ago_does_not_make_others_wait() -> None:
    clock = Clock()
    callbacks = Callbacks(clock)
    for number in range(4):
        callbacks.refuse(f"client {number}", busy_s=3.0, service_s=2.0, at_once=1)
    clock.now += 100
    assert callbacks.refuse("late", busy_s=0.1, service_s=2.0, at_once=1) == 1
    assert callbacks.expected == 1


def test_only_who_was_told_comes_as_told_and_only_once_and_not_early() -> None:
    clock = Clock()
    callbacks = Callbacks(clock)
    wait_s = callbacks.refuse("one", busy_s=2.5, service_s=0.5, at_once=1)
    assert not callbacks.keep("one")
    clock.now += wait_s
    assert not callbacks.keep("other")
    assert callbacks.keep("one")
    assert not callbacks.keep("one")
    assert callbacks.expected == 0


def test_several_requests_of_one_address_may_each_come_once() -> None:
    clock = Clock()
    callbacks = Callbacks(clock)
    for _ in range(3):
        callbacks.refuse("address", busy_s=0.5, service_s=0.001, at_once=1000)
    clock.now += 2
    assert [callbacks.keep("address") for _ in range(4)] == [True, True, True, False]


def test_who_comes_long_after_is_a_newcomer() -> None:
    clock = Clock()
    callbacks = Callbacks(clock)
    wait_s = callbacks.refuse("one", busy_s=0.0, service_s=5.0, at_once=1)
    clock.now += wait_s + GRACE_S
    assert callbacks.expected == 1
    clock.now += 0.01
    assert callbacks.expected == 0
    assert not callbacks.keep("one")


def test_moments_lie_closer_where_few_come_back() -> None:
    clock = Clock()
    callbacks = Callbacks(clock)

    def apart() -> float:
        first = callbacks.refuse("a", busy_s=0.0, service_s=70.0, at_once=1)
        return callbacks.refuse("b", busy_s=0.0, service_s=70.0, at_once=1) - first

    assert apart() == pytest.approx(70 / SHARE, abs=1)
    for number in range(300):
        callbacks.refuse(f"gone {number}", busy_s=0.0, service_s=0.001, at_once=1000)
    clock.now += 1000
    assert apart() <= 70 / SHARE * FEWEST_BACK * 1.2 + 1


def test_of_those_who_are_refused_at_the_same_moment_only_so_many_come_back_at_once() -> None:
    callbacks = Callbacks(Clock())
    waits = [callbacks.refuse(str(number), busy_s=0.5, service_s=0.07, at_once=3) for number in range(9)]
    assert waits == [1, 1, 1, 2, 2, 2, 3, 3, 3]
