"""Numbers of frames from their rounded timestamps."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from laps_server.video.frame_numbering import FrameNumbering


@given(
    st.sampled_from([Fraction(24000, 1001), Fraction(25), Fraction(30000, 1001), Fraction(30), Fraction(60)]),
    st.integers(0, 500_000),
    st.integers(-5000, 5000),
    st.booleans(),
)
def test_numbers_are_read_through_rounded_timestamps(rate: Fraction, number: int, origin: int, down: bool) -> None:
    numbering = FrameNumbering(origin, rate, Fraction(1, 1000))
    exact = origin + number / (rate * Fraction(1, 1000))
    stamp = int(exact // 1) if down else round(exact)
    assert numbering.is_usable
    assert numbering.number(stamp) == number
    low, high = numbering.span(number, number)
    assert low < stamp < high


def test_gaps_doubles_and_drift_are_seen() -> None:
    numbering = FrameNumbering(0, Fraction(25), Fraction(1, 1000))
    assert numbering.is_regular([0, 40, 80, 121])
    assert not numbering.is_regular([0, 40, 120])
    assert not numbering.is_regular([0, 40, 41])
    assert not numbering.is_regular([0, 40, 95])
    assert not FrameNumbering(0, Fraction(500), Fraction(1, 1000)).is_usable
