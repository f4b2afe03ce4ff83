"""Waits between attempts, as pure functions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from laps_client import RetryPolicy
from laps_client._retry_policy import retry_after_s

NOW = datetime(2024, 5, 1, 12, 0, 0, tzinfo=UTC)


def waits(policy: RetryPolicy, attempt: int, asked_s: float | None = None) -> list[float]:
    drawn = [policy.wait_s(attempt, asked_s) for _ in range(2000)]
    assert all(wait is not None for wait in drawn)
    return [wait for wait in drawn if wait is not None]


@pytest.mark.parametrize(("attempt", "ceiling"), [(1, 1.0), (2, 2.0), (3, 4.0), (4, 5.0), (99, 5.0), (10**6, 5.0)])
def test_jitter_is_full_below_a_ceiling_that_doubles_to_a_bound(attempt: int, ceiling: float) -> None:
    drawn = waits(RetryPolicy(attempts=10**9, backoff_s=1, max_backoff_s=5), attempt)
    assert 0 <= min(drawn) < 0.05 * ceiling
    assert 0.95 * ceiling < max(drawn) <= ceiling
    assert sum(drawn) / len(drawn) == pytest.approx(ceiling / 2, rel=0.1)


def test_the_last_attempt_is_followed_by_none() -> None:
    policy = RetryPolicy(attempts=3)
    assert policy.wait_s(2, None) is not None
    assert policy.wait_s(3, None) is None
    assert RetryPolicy(attempts=1).wait_s(1, None) is None


def test_what_the_server_asks_for_is_the_least_wait_with_jitter_on_top() -> None:
    drawn = waits(RetryPolicy(backoff_s=1), 1, asked_s=7)
    assert 7 <= min(drawn) < 7.1
    assert 7.9 < max(drawn) <= 8


def test_a_wait_beyond_the_bound_is_not_shortened_but_refused() -> None:
    policy = RetryPolicy(max_retry_after_s=60)
    assert policy.wait_s(1, 60.0) is not None
    assert policy.wait_s(1, 60.5) is None


@pytest.mark.parametrize(
    "options",
    [
        {"attempts": 0},
        {"backoff_s": 0},
        {"backoff_s": -1},
        {"max_backoff_s": float("inf")},
        {"max_retry_after_s": float("nan")},
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        RetryPolicy(**options)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry-after": "0"}, 0),
        ({"retry-after": " 12 "}, 12),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "Wed, 01 May 2024 12:00:30 GMT"}, 30),
        ({"retry-after": "Wednesday, 01-May-24 12:00:30 GMT"}, 30),
        ({"retry-after": "Wed, 01 May 2024 12:00:30 -0000"}, 30),
        ({"retry-after": "Wed, 01 May 2024 11:00:00 GMT"}, 0),
        ({"retry-after": "Wed, 01 May 2024 09:00:30 GMT", "date": "Wed, 01 May 2024 09:00:00 GMT"}, 30),
        ({"retry-after": "Wed, 01 May 2024 12:00:30 GMT", "date": "no date"}, 30),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "1e9"}, None),
        ({"retry-after": "9999999999"}, 9_999_999_999),
        ({"retry-after": "0000000000001"}, 1),
        ({"retry-after": "9" * 400}, float("inf")),
        ({"retry-after": "Wed, 01 May 99999999999999999999 12:00:30 GMT"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Wed, 99 May 2024 12:00:30 GMT"}, None),
        ({"retry-after": "\u0663"}, None),
    ],
    ids=lambda value: str(value.get("retry-after", "none"))[:30] if isinstance(value, dict) else None,
)
def test_retry_after_is_read_in_both_forms_against_the_servers_clock(
    headers: dict[str, str], expected: float | None
) -> None:
    assert retry_after_s(headers, NOW) == expected
