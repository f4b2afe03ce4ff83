from __future__ import annotations

import numpy as np

from laps_export.data.degrade import Degrader
from laps_export.graph.moving_clips import moving_clip

FRAMES = moving_clip("coffee", frames=8, size=96, seed=1)


def test_flaws_keep_shape_and_are_repeatable() -> None:
    degrader = Degrader()
    for seed in range(20):
        made = []
        for _ in range(2):
            rng = np.random.default_rng(seed)
            frames = degrader.lens_and_light(FRAMES.copy(), rng)
            made.append(degrader.weak_codec(degrader.screen(frames, rng), rng))
        assert made[0].shape == FRAMES.shape
        assert made[0].dtype == np.uint8
        np.testing.assert_array_equal(made[0], made[1])


def test_flaws_leave_something_to_see() -> None:
    degrader = Degrader()
    spreads = [degrader.lens_and_light(FRAMES.copy(), np.random.default_rng(seed)).std() for seed in range(40)]
    assert min(spreads) > 10
