"""The rate of workers that run side by side does not depend on how their answers fall on the ends."""

from __future__ import annotations

import pytest
from bench.scale.rates import Rate, Scaling, steady_rate


@pytest.mark.parametrize("workers", [1, 4, 8])
@pytest.mark.parametrize("spread_s", [0.0, 0.1, 0.9], ids=["in step", "nearly", "evenly"])
def test_each_of_them_counts_once_a_second(workers: int, spread_s: float) -> None:
    moments = [second + spread_s * worker / workers for second in range(24) for worker in range(workers)]
    assert steady_rate(moments, workers) == pytest.approx(workers)


def test_too_few_answers_are_no_rate() -> None:
    with pytest.raises(ValueError, match="too few"):
        steady_rate([1.0, 2.0, 3.0], 2)


@pytest.mark.parametrize(("per_s", "reached"), [(8.0, True), (7.3, True), (7.1, False), (8.9, False)])
def test_many_are_held_to_as_many_single_ones(per_s: float, reached: bool) -> None:
    found = Scaling("batch", Rate(1, 1.0, 24, 0.1), Rate(8, per_s, 192, 0.5))
    assert found.reached is reached
    assert found.ratio == pytest.approx(per_s / 8)
