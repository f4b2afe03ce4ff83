from __future__ import annotations

import pytest

from laps_server.engines.triton.breaker import Breaker
from support.standing_clock import StandingClock

PAUSE_S = 1.0


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock()


@pytest.fixture
def breaker(clock: StandingClock) -> Breaker:
    return Breaker(failures=3, pause_s=PAUSE_S, clock=clock)


def test_only_failures_in_a_row_open_it(breaker: Breaker) -> None:
    for _ in range(5):
        breaker.failed()
        breaker.failed()
        breaker.succeeded()
    assert breaker.closed
    for _ in range(3):
        breaker.failed()
    assert breaker.state == "open"


def test_probes_that_succeed_do_not_hide_batches_that_fail(breaker: Breaker) -> None:
    for _ in range(3):
        assert breaker.closed
        breaker.succeeded(probe=True)
        breaker.failed()
    assert breaker.state == "open"


def test_a_probe_may_set_out_after_a_pause_and_only_it_closes(breaker: Breaker, clock: StandingClock) -> None:
    breaker.trip()
    breaker.succeeded()  # a batch that was sent before
    assert not breaker.probe_due()
    states = [breaker.state]
    clock.now_s += PAUSE_S
    assert breaker.probe_due()
    assert [*states, breaker.state] == ["open", "half_open"]
    assert not breaker.closed
    breaker.succeeded(probe=True)
    assert breaker.closed


def test_a_failed_probe_opens_it_for_another_pause(breaker: Breaker, clock: StandingClock) -> None:
    breaker.trip()
    clock.now_s += PAUSE_S
    assert breaker.probe_due()
    breaker.failed(probe=True)
    assert breaker.state == "open"
    clock.now_s += PAUSE_S / 2
    assert not breaker.probe_due()


def test_batches_sent_before_it_opened_do_not_keep_it_open(breaker: Breaker, clock: StandingClock) -> None:
    breaker.trip()
    clock.now_s += PAUSE_S
    breaker.failed()
    assert breaker.probe_due()
    breaker.failed()
    assert breaker.state == "half_open"
    breaker.succeeded(probe=True)
    breaker.failed()
    breaker.failed()
    assert breaker.closed
