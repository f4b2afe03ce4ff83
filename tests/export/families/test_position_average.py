from __future__ import annotations

import torch

from laps_export.families.position_average import log_mean_probability


def test_its_softmax_is_the_mean_of_the_positions_probabilities() -> None:
    logits = torch.randn(3, 4, 10, generator=torch.Generator().manual_seed(0))
    mean = logits.softmax(-1).mean(1)
    answer = log_mean_probability(logits)
    torch.testing.assert_close(answer.exp(), mean)
    torch.testing.assert_close(answer.softmax(-1), mean)


def test_one_position_keeps_its_softmax() -> None:
    logits = torch.tensor([[[2.0, 1.0, -3.0]]])
    torch.testing.assert_close(log_mean_probability(logits).softmax(-1), logits[:, 0].softmax(-1))


def test_a_class_that_is_unlikely_everywhere_keeps_a_number() -> None:
    logits = torch.tensor([[[0.0, -300.0], [0.0, -301.0]]])
    answer = log_mean_probability(logits)
    assert answer.isfinite().all()
    assert -301.0 < answer[0, 1] < -300.0
