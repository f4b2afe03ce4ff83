"""Growth is what stays, over the last half."""

from __future__ import annotations

import pytest
from soak.memory import growth_mib_a_minute

SECONDS = [float(second) for second in range(0, 1200, 2)]


def test_steady_growth_is_told_a_minute() -> None:
    assert growth_mib_a_minute(SECONDS, [100 + second / 60 * 3 for second in SECONDS]) == pytest.approx(3, rel=0.02)


def test_growth_at_the_beginning_is_none() -> None:
    assert growth_mib_a_minute(SECONDS, [min(second, 300) for second in SECONDS]) == 0


def test_a_video_in_a_decoder_now_and_then_is_none() -> None:
    assert growth_mib_a_minute(SECONDS, [100 + 80 * (place % 7 == 0) for place in range(len(SECONDS))]) == 0
