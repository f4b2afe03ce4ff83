"""The peers see the frames that the server sees: their few lines against its rules, on the benchmark's kind of clip."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from bench.loads import Answer
from bench.peer_trial import differs
from bench.peers.views import Recipe

from laps_server.video.sampling.rules import RULES
from laps_server.video.sampling.sampling import Sampling
from laps_server.view_grid import SamplingRule

FRAMES, RATE, TICKS = 250, Fraction(25), 512


def recipe(sampling: str, frames: int, stride: int, clips: int) -> Recipe:
    return Recipe(
        graph=Path("model.onnx"),
        labels=(),
        sampling=sampling,
        frames=frames,
        stride=stride,
        size=224,
        short_side=256,
        clips=clips,
        crops=1,
        temperature=1.0,
        average="logits",
    )


@pytest.mark.parametrize(
    ("rule", "frames", "stride", "clips"),
    [
        pytest.param("laps_uniform", 8, 8, 5, id="LAPS"),
        pytest.param("steady_25", 64, 1, 3, id="I3D"),
        pytest.param("uniform_in_order", 8, 4, 5, id="camera-motion"),
    ],
)
def test_a_peers_frames_are_those_of_the_rule(rule: SamplingRule, frames: int, stride: int, clips: int) -> None:
    sampling = Sampling(frames=frames, stride=stride, views=clips, rule=rule)
    found = RULES[rule]
    if found.windows is None:
        expected = found.numbers(FRAMES, RATE, sampling)
    else:
        expected = found.windows.numbers_by_windows(
            range(0, FRAMES * TICKS, TICKS), count=FRAMES, duration=FRAMES * TICKS, rate=RATE, sampling=sampling
        )
    assert np.array_equal(recipe(rule, frames, stride, clips).frame_numbers(FRAMES), expected)


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        pytest.param(Answer("pan left", 0.815), True, id="near enough"),
        pytest.param(Answer("pan left", 0.83), False, id="another score"),
        pytest.param(Answer("pan right", 0.8), False, id="another label"),
    ],
)
def test_a_peer_that_answers_otherwise_is_told_apart(answer: Answer, right: bool) -> None:
    assert (differs(answer, Answer("pan left", 0.8)) is None) is right
