"""No network takes clips of another shape for something else; checked without any weights, on torch's meta device."""

from __future__ import annotations

import pytest
import torch

from laps_export.errors import ConfigError
from laps_export.families import registry


@pytest.mark.parametrize("variant", registry.all_variants())
def test_clips_of_another_shape_are_refused_by_every_network(variant: str) -> None:
    with torch.device("meta"):
        model = registry.build(variant)
        frames, side = model.config.frames, model.config.resolution
        for shape in ((1, 2 * frames, 3, side, side), (1, frames, 3, side, side + 32), (frames, 3, side, side)):
            with pytest.raises(ConfigError) as caught:
                model.network(torch.zeros(shape))
            assert caught.value.code == "invalid_input"
