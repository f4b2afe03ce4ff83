from __future__ import annotations

import torch

from laps_export.families.family import Normalisation
from laps_export.families.normalise import Normalise

PIXELS = Normalisation(mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3))


def test_pixels_are_scaled_shifted_and_moved_to_channels_first() -> None:
    clips = torch.randint(0, 256, (2, 3, 4, 5, 3), generator=torch.Generator().manual_seed(0)).byte()
    expected = (clips.double() / 255 - torch.tensor(PIXELS.mean)) / torch.tensor(PIXELS.std)
    result = Normalise(PIXELS)(clips)
    assert result.dtype == torch.float32
    torch.testing.assert_close(result, expected.permute(0, 1, 4, 2, 3).float(), atol=1e-6, rtol=0)
