"""Sampling, conversion, resize and crops reproduce the authors' own input, before any model runs.

``input_frame_mean`` is the mean of every normalised input frame. The reference normalises in float32 and then
resizes; resizing in 8 bit first moves a frame's mean by at most 2.3e-4, while a crop one pixel off or a
neighbouring frame moves some frame of every video by far more than the tolerance.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from support.golden_videos import GOLDEN_VIDEOS, golden_video
from support.numbered_videos import extract

MEAN = np.array([0.486, 0.457, 0.407], dtype=np.float32)
STD = np.array([0.229, 0.224, 0.225], dtype=np.float32)
TOLERANCE = 4e-4
REFERENCE = Path(__file__).parents[2] / "data" / "pipeline.npz"


@pytest.mark.parametrize("views", ["5x3", "10x3", "1x1"])
@pytest.mark.parametrize("name", GOLDEN_VIDEOS)
def test_input_frames_are_those_of_the_authors(name: str, views: str) -> None:
    batch = extract(golden_video(name), views=views, frames=8, stride=8, side=224)
    with np.load(REFERENCE) as reference:
        expected = reference[f"{name}/{views}/input_frame_mean"]  # [V, T]
    clips = np.stack([batch.clip(view) for view in range(batch.grid.total)])  # [V, T, H, W, 3]
    means = np.stack([((clip.astype(np.float32) / 255 - MEAN) / STD).mean(axis=(1, 2, 3)) for clip in clips])
    np.testing.assert_allclose(means, expected, rtol=0, atol=TOLERANCE)
