"""The published costs, reproduced."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from laps_export.families import registry
from laps_export.families.family import VideoModel
from laps_export.families.laps.visformer import Laps
from laps_export.graph.complexity import measure
from support.small_laps import as_model
from support.toy_family import TOY, ToyConfig

SHIPPED = sorted((Path(__file__).parents[3] / "model_repository").glob("camera-motion*/*/laps.json"))
PUBLISHED = {
    "base2d": (39.074, 39.758),
    "base3d": (46.509, 39.758),
    "plain_shift": (39.074, 39.758),
    "p_shift": (39.074, 39.758),
    "la": (40.136, 39.758),
    "laps": (40.136, 39.758),
    "laps_r333": (40.136, 39.758),
    "laps_r222": (40.136, 39.758),
    "laps_r111": (40.136, 39.758),
    "laps_l": (172.841, 40.032),
    "laps_h": (345.682, 40.032),
    "laps_e": (434.018, 40.162),
}


@pytest.mark.parametrize("variant", PUBLISHED)
def test_costs_equal_the_papers(variant: str) -> None:
    cost = measure(registry.build(variant))
    assert (cost.gmacs, cost.parameters_m) == pytest.approx(PUBLISHED[variant], rel=1e-5)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.parents[1].name)
def test_a_shipped_manifest_tells_the_cost_of_its_variant(path: Path) -> None:
    manifest = json.loads(path.read_text())
    cost = measure(registry.build(manifest["variant"], classes=manifest["labels"]["count"]))
    assert manifest["cost"] == {"gmacs": round(cost.gmacs, 3), "parameters_m": round(cost.parameters_m, 3)}


def test_measuring_leaves_the_mode_alone(small_model: Laps) -> None:
    measure(as_model(small_model.train()))
    assert small_model.training
    measure(as_model(small_model.eval()))
    assert not small_model.training


class _Counted(nn.Module):
    """Clips `[1, 4, 3, 32, 32]` through one layer that is counted by elements or products."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, clips: Tensor) -> Tensor:
        answer: Tensor = self.layer(clips.flatten(0, 1))  # [4, 3, 32, 32]
        return answer


ELEMENTS = 4 * 3 * 32 * 32


class _Einsum(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("nchw,nkhw->nck", x, x)


@pytest.mark.parametrize(
    ("layer", "macs"),
    [
        (lambda: nn.Conv2d(3, 5, 3, padding=1), ELEMENTS // 3 * 5 * 3 * 9),
        (lambda: nn.Conv2d(3, 3, 3, padding=1, groups=3, bias=False), ELEMENTS * 9),
        (lambda: nn.Linear(32, 7), 4 * 3 * 32 * 32 * 7),
        (lambda: nn.BatchNorm2d(3), 2 * ELEMENTS),
        (lambda: nn.LayerNorm(32), 5 * ELEMENTS),
        (lambda: nn.AdaptiveAvgPool2d(1), ELEMENTS),
        (lambda: nn.Upsample(scale_factor=2), 4 * ELEMENTS),
        (_Einsum, ELEMENTS * 3),
        (nn.GELU, 0),
    ],
    ids=["conv", "depthwise", "linear", "batch norm", "layer norm", "pool", "nearest", "einsum", "gelu"],
)
def test_each_kind_of_layer_counts_as_it_does_in_papers(layer: Callable[[], nn.Module], macs: int) -> None:
    family = replace(TOY, build=lambda _: _Counted(layer()))
    model = VideoModel(family=family, variant="x", config=ToyConfig(), network=nn.Identity())
    assert measure(model).gmacs == pytest.approx(macs / 1e9)
