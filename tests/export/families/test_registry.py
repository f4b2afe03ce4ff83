from __future__ import annotations

from collections import Counter

import pytest

from laps_export.errors import ConfigError
from laps_export.families import registry
from laps_export.families.family import Family


def test_an_unknown_variant_names_the_known() -> None:
    with pytest.raises(ConfigError) as caught:
        registry.build("laps_xxl")
    assert caught.value.code == "unknown_variant"
    assert "laps_tiny" in caught.value.hint


def test_an_unknown_family_names_the_known() -> None:
    with pytest.raises(ConfigError) as caught:
        registry.find_family("lapse")
    assert caught.value.code == "unknown_family"
    assert "laps" in caught.value.hint


def test_no_classes_is_an_error() -> None:
    with pytest.raises(ConfigError) as caught:
        registry.find_variant("laps", classes=0)
    assert caught.value.code == "invalid_classes"


def test_a_variant_belongs_to_one_family() -> None:
    counted = Counter(name for family in registry.FAMILIES.values() for name in family.variants)
    assert set(counted.values()) == {1}
    assert all(registry.family_of(name) is not None for name in counted)
    assert registry.family_of("laps_xxl") is None
    assert registry.family_of(None) is None


def test_what_is_trained_by_default_can_be_trained() -> None:
    family, _ = registry.find_variant(registry.training_variant())
    assert family.training is not None


@pytest.mark.parametrize("family", registry.FAMILIES.values(), ids=lambda family: family.name)
def test_a_familys_own_numbers_are_read_back(family: Family) -> None:
    for row in family.variants.values():
        assert family.read_config(row.config.to_json()) == row.config
