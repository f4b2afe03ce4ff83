from __future__ import annotations

from typing import Any

import pytest

from laps_export.errors import ConfigError
from laps_export.families.tdn.config import TdnConfig


@pytest.mark.parametrize(
    ("numbers", "code"),
    [
        ({"segments": 0}, "invalid_segments"),
        ({"segments": 300}, "invalid_frames"),
        ({"resolution": 240}, "invalid_resolution"),
        ({"resolution": 32}, "invalid_resolution"),
        ({"width": 12}, "invalid_width"),
        ({"blocks": (3, 4, 6)}, "invalid_blocks"),
        ({"blocks": (3, 4, 6, 0)}, "invalid_blocks"),
        ({"classes": 0}, "invalid_classes"),
    ],
)
def test_numbers_that_cannot_be(numbers: dict[str, Any], code: str) -> None:
    with pytest.raises(ConfigError) as caught:
        TdnConfig(**numbers)
    assert caught.value.code == code


@pytest.mark.parametrize(("segments", "share"), [(8, 0.5), (16, 0.75), (4, 0.75)])
def test_picture_and_differences_weigh_the_same_for_8_segments_alone(segments: int, share: float) -> None:
    assert TdnConfig(segments=segments).picture_share == share


def test_a_segment_is_five_frames() -> None:
    assert TdnConfig(segments=16).frames == 80


@pytest.mark.parametrize("change", [{"segments": "8"}, {"blocks": 3}, {"frames": 40}, {"contextualised": 1}])
def test_json_that_is_none(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        TdnConfig.from_json({**TdnConfig().to_json(), **change})
    assert caught.value.code == "invalid_config"


def test_json_is_read_back() -> None:
    config = TdnConfig(segments=16, blocks=(3, 4, 23, 3))
    assert TdnConfig.from_json({**config.to_json(), "blocks": [3, 4, 23, 3]}) == config
