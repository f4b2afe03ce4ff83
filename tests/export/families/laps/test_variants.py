from __future__ import annotations

import pytest
import torch

from laps_export.errors import ConfigError
from laps_export.families.laps import variants as registry


def test_an_unknown_variant_names_the_known() -> None:
    with pytest.raises(ConfigError) as caught:
        registry.build("laps_xxl")
    assert caught.value.code == "unknown_variant"
    assert "laps_tiny" in caught.value.hint


def test_no_classes_is_an_error() -> None:
    with pytest.raises(ConfigError) as caught:
        registry.variant_config("laps", classes=0)
    assert caught.value.code == "invalid_classes"


@pytest.mark.parametrize("name", registry.VARIANTS)
def test_every_row_builds(name: str) -> None:
    with torch.device("meta"):
        model = registry.build(name, classes=11)
    assert model.config == registry.variant_config(name, classes=11)
    assert model.head.out_features == 11
