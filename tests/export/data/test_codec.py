from __future__ import annotations

import numpy as np
import pytest

from laps_export.data.codec import CODECS, Codec, compress
from laps_export.errors import DataError
from laps_export.graph.moving_clips import moving_clip

FRAMES = moving_clip("astronaut", frames=12, size=96, seed=1)


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)
def test_frames_come_back_in_order_and_worse(codec: Codec) -> None:
    good = compress(FRAMES, codec, rate=25.0, quality=0.0)
    bad = compress(FRAMES, codec, rate=25.0, quality=1.0)
    assert good.shape == bad.shape == FRAMES.shape
    errors = [np.abs(got.astype(int) - FRAMES.astype(int)).mean(axis=(1, 2, 3)) for got in (good, bad)]
    assert errors[0].max() < 12
    assert errors[1].mean() > errors[0].mean()
    # A frame out of order would be far nearer to another one.
    for number in range(12):
        distances = [np.abs(good[number].astype(int) - frame.astype(int)).mean() for frame in FRAMES]
        assert int(np.argmin(distances)) == number


def test_odd_sizes_are_refused_by_name() -> None:
    with pytest.raises(DataError) as caught:
        compress(FRAMES[:, :95], CODECS[0], rate=25.0, quality=0.5)
    assert caught.value.code == "codec_failed"
