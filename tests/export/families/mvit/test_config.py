from __future__ import annotations

from typing import Any

import pytest

from laps_export.errors import ConfigError
from laps_export.families.mvit.config import MvitConfig


@pytest.mark.parametrize(
    ("numbers", "code"),
    [
        ({"frames": 0}, "invalid_frames"),
        ({"frames": 15}, "invalid_frames"),
        ({"resolution": 240}, "invalid_resolution"),
        ({"key_pools": 13}, "invalid_key_pools"),
        ({"key_pools": 17}, "invalid_key_pools"),
        ({"classes": 0}, "invalid_classes"),
    ],
)
def test_numbers_that_cannot_be(numbers: dict[str, int], code: str) -> None:
    with pytest.raises(ConfigError) as caught:
        MvitConfig(**numbers)
    assert caught.value.code == code


def test_tokens_become_fewer_and_wider() -> None:
    config = MvitConfig(frames=64)
    blocks = range(config.blocks)
    assert [config.heads(block) for block in blocks] == [1, 2, 2, *[4] * 11, 8, 8]
    assert [config.grid(block)[1] for block in blocks] == [56, 56, *[28] * 2, *[14] * 11, 7]
    assert [config.key_stride(block) for block in blocks] == [8, 4, 4, *[2] * 11, 1, 1]
    assert [block for block in blocks if config.pools_queries(block)] == [1, 3, 14]
    assert (config.steps, config.width) == (32, 768)


@pytest.mark.parametrize("change", [{"frames": "16"}, {"frames": [16]}, {"colour": 1}])
def test_json_that_is_none(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        MvitConfig.from_json({**MvitConfig().to_json(), **change})
    assert caught.value.code == "invalid_config"
