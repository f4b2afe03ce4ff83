from __future__ import annotations

from typing import Any

import pytest

from laps_export.errors import ConfigError
from laps_export.families.timesformer.config import TimesformerConfig


@pytest.mark.parametrize(
    ("numbers", "code"),
    [
        ({"frames": 0}, "invalid_frames"),
        ({"frames": 1025}, "invalid_frames"),
        ({"resolution": 232}, "invalid_resolution"),
        ({"resolution": 4112}, "invalid_resolution"),
        ({"dim": 770}, "invalid_dim"),
        ({"heads": 0}, "invalid_heads"),
        ({"classes": -1}, "invalid_classes"),
    ],
)
def test_numbers_that_cannot_be(numbers: dict[str, int], code: str) -> None:
    with pytest.raises(ConfigError) as caught:
        TimesformerConfig(**numbers)
    assert caught.value.code == code


@pytest.mark.parametrize("change", [{"frames": "8"}, {"frames": True}, {"frames": [8]}, {"colour": 1}])
def test_json_that_is_none(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        TimesformerConfig.from_json({**TimesformerConfig().to_json(), **change})
    assert caught.value.code == "invalid_config"
