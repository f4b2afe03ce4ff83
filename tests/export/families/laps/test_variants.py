from __future__ import annotations

import pytest
import torch

from laps_export.families import registry
from laps_export.families.laps.variants import VARIANTS
from laps_export.families.laps.visformer import Laps
from support.small_laps import config_of


@pytest.mark.parametrize("name", VARIANTS)
def test_every_row_builds(name: str) -> None:
    with torch.device("meta"):
        model = registry.build(name, classes=11)
    assert model.config == config_of(name, classes=11)
    assert isinstance(model.network, Laps)
    assert model.network.head.out_features == 11
