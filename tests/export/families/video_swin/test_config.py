from __future__ import annotations

from typing import Any

import pytest

from laps_export.errors import ConfigError
from laps_export.families.video_swin.config import VideoSwinConfig


@pytest.mark.parametrize(
    ("numbers", "code"),
    [
        ({"frames": 0}, "invalid_frames"),
        ({"frames": 15}, "invalid_frames"),
        ({"frames": 24}, "invalid_frames"),
        ({"resolution": 228}, "invalid_resolution"),
        ({"resolution": 256}, "invalid_resolution"),
        ({"depths": (2, 0, 18, 2)}, "invalid_depths"),
        ({"depths": (2, 2)}, "invalid_heads"),
        ({"dim": 126}, "invalid_dim"),
    ],
)
def test_numbers_that_cannot_be(numbers: dict[str, Any], code: str) -> None:
    with pytest.raises(ConfigError) as caught:
        VideoSwinConfig(**numbers)
    assert caught.value.code == code


@pytest.mark.parametrize("change", [{"depths": 2}, {"depths": [2, 2, "18", 2]}, {"frames": [32]}, {"colour": 1}])
def test_json_that_is_none(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        VideoSwinConfig.from_json({**VideoSwinConfig().to_json(), **change})
    assert caught.value.code == "invalid_config"


def test_json_has_no_tuples() -> None:
    data = {**VideoSwinConfig().to_json(), "depths": [2, 2, 18, 2], "heads": [4, 8, 16, 32]}
    assert VideoSwinConfig.from_json(data) == VideoSwinConfig()
