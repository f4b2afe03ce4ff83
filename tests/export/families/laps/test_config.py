from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from laps_export.errors import ConfigError
from laps_export.families.laps.attention import AttentionKind
from laps_export.families.laps.config import LapsConfig
from support.small_laps import SMALL


@pytest.mark.parametrize(
    ("change", "code", "hint"),
    [
        ({"frames": 0}, "invalid_frames", "at least 1"),
        ({"frames": 6}, "invalid_level", "6 frames allow levels 1 to 1"),
        ({"resolution": 31}, "invalid_resolution", "32"),
        ({"classes": 0}, "invalid_classes", "at least 1"),
        ({"embed_dim": 36}, "invalid_embed_dim", "multiple of 8"),
        ({"levels": ((1, 2), (3, 4))}, "invalid_level", "levels 1 to 3"),
        ({"levels": ((1,), (3, 1))}, "invalid_level", "takes 2"),
        ({"attention": AttentionKind.BASE2D}, "invalid_level", "takes 0"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_impossible_numbers_say_what_would_be_right(change: dict[str, Any], code: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        replace(SMALL, **change)
    assert caught.value.code == code
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("resolution", "grid"), [(224, (28, 14, 7)), (320, (40, 20, 10)), (360, (45, 22, 11)), (112, (14, 7, 3))]
)
def test_the_grid_floors_at_every_stride(resolution: int, grid: tuple[int, int, int]) -> None:
    assert replace(SMALL, resolution=resolution).grid == grid


def test_json_round_trip() -> None:
    assert LapsConfig.from_json(json.loads(json.dumps(SMALL.to_json()))) == SMALL


@pytest.mark.parametrize(
    "change",
    [{"attention": "laps4d"}, {"frames": "many"}, {"levels": [[1, 2]]}, {"colour": 1}, {"depths": None}],
    ids=str,
)
def test_foreign_json_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        LapsConfig.from_json({**SMALL.to_json(), **change})
    assert caught.value.code == "invalid_config"
