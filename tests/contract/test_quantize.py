"""What the exporter holds an int8 graph to is what a server makes of its logits."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from laps_export.quantize.view_scores import ViewScoring
from laps_server.scores import Activation, Scoring, clip_logits


@pytest.mark.parametrize("shape", [(5, 7), (5, 3, 7)], ids=["per clip", "per frame"])
@pytest.mark.parametrize("activation", get_args(Activation))
@pytest.mark.parametrize("average", ["logits", "probabilities"])
def test_scores_of_a_view_are_the_servers(shape: tuple[int, ...], activation: Activation, average: str) -> None:
    logits = np.random.default_rng(0).normal(0, 4, shape).astype(np.float32)
    scoring = Scoring(activation, 0.7, average=average)  # type: ignore[arg-type]
    served = np.stack([scoring.scores(scoring.terms(row)) for row in clip_logits(logits)])
    manifest = {"activation": activation, "temperature": 0.7}
    np.testing.assert_allclose(ViewScoring.of(manifest).scores(logits), served, rtol=1e-12)
