"""VTN against what the authors' class computed, and each part of its encoder broken on purpose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from laps_export.families import registry
from laps_export.families.vtn.family import VARIANTS
from laps_export.families.vtn.network import Vtn
from laps_export.families.vtn.temporal_encoder import NearbyAttention
from laps_export.graph.complexity import measure
from support.zoo_goldens import LOGITS_TOLERANCE, STAGE_TOLERANCE, fill, golden_input, stage_figures, zoo_golden

FULL = VARIANTS["vtn"].config
STAGES = {
    "backbone": "backbone (features per frame)",
    "temporal_encoder.embeddings": "temporal_encoder.embeddings",
    "temporal_encoder.encoder.layer.0": "temporal_encoder.encoder.layer.0",
    "temporal_encoder": "temporal_encoder (last_hidden_state)",
}
VISIBLE = 100 * LOGITS_TOLERANCE


def _built(name: str, frames: int) -> Vtn:
    network = Vtn(replace(FULL, frames=frames)).eval()
    fill(network, zoo_golden(name).gains)
    return network


@pytest.fixture(scope="module")
def network() -> Vtn:
    return _built("vtn_32", 32)


@pytest.fixture(scope="module")
def features(network: Vtn) -> Tensor:
    """What the golden's frames are before the encoder, which most tests are about: `[1, 32, C]`."""
    with torch.inference_mode():
        made: Tensor = network.backbone(golden_input(32, 224)[0])[None]
    return made


def _logits(network: Vtn, features: Tensor) -> Tensor:
    with torch.inference_mode():
        logits: Tensor = network.mlp_head(network.temporal_encoder(features, network.cls_token)[:, 0])[0]
    return logits


def _expected(array: str = "logits") -> Tensor:
    return torch.from_numpy(zoo_golden("vtn_32").arrays[array])


@pytest.mark.parametrize(
    ("name", "frames"), [("vtn_32", 32), pytest.param("vtn", 250, marks=pytest.mark.long)], ids=["32", "250"]
)
def test_logits_and_stages_equal_the_authors(name: str, frames: int) -> None:
    network, golden = _built(name, frames), zoo_golden(name)
    with torch.inference_mode(), stage_figures(network, STAGES) as stages:
        logits = network(golden_input(frames, 224))[0][0]
    torch.testing.assert_close(logits, torch.from_numpy(golden.arrays["logits"]), atol=LOGITS_TOLERANCE, rtol=0)
    for stage, figures in stages.items():
        if stage == "backbone" and frames > 50:
            continue  # it sees the frames in parts: the figures are of the last
        np.testing.assert_allclose(figures, golden.arrays[f"stage/{STAGES[stage]}"], rtol=STAGE_TOLERANCE)


def test_names_and_shapes_are_the_authors() -> None:
    with torch.device("meta"):
        network = Vtn(FULL)
    assert {name: tuple(value.shape) for name, value in network.state_dict().items()} == zoo_golden("vtn").shapes


def test_costs_equal_fvcores_of_the_authors_class() -> None:
    facts = zoo_golden("vtn").facts
    with torch.device("meta"):
        cost = measure(registry.build("vtn"))
    assert cost.gmacs == pytest.approx(facts["gmacs_fvcore"], rel=1e-3)
    assert cost.parameters_m == pytest.approx(facts["params_millions"], rel=1e-6)


def test_the_encoder_alone_is_right_where_nothing_is_broken(network: Vtn, features: Tensor) -> None:
    torch.testing.assert_close(_logits(network, features), _expected(), atol=LOGITS_TOLERANCE, rtol=0)


def test_places_are_those_of_frames_in_a_video_and_wrap(
    network: Vtn, features: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The authors' class at 30 frames a second, whose clip reaches to frame 299."""
    places = [FULL.frame_places, *(int(place) % FULL.frame_places for place in np.linspace(0, 299, 32))]
    monkeypatch.setitem(network.temporal_encoder.embeddings._buffers, "places", torch.tensor(places))
    expected = _expected("logits_positions_30fps")
    torch.testing.assert_close(_logits(network, features), expected, atol=LOGITS_TOLERANCE, rtol=0)


def _attentions(network: Vtn) -> list[NearbyAttention]:
    return [module for module in network.modules() if isinstance(module, NearbyAttention)]


def _without_own(name: str) -> Callable[[Vtn, pytest.MonkeyPatch], None]:
    """The class token takes the frames' projection."""

    def change(network: Vtn, patch: pytest.MonkeyPatch) -> None:
        for attention in _attentions(network):
            patch.setitem(attention._modules, f"{name}_global", getattr(attention, name))

    return change


def _reach(frames: int) -> Callable[[Vtn, pytest.MonkeyPatch], None]:
    def change(network: Vtn, patch: pytest.MonkeyPatch) -> None:
        other = NearbyAttention(replace(network.config, reach=frames)).unseen
        for attention in _attentions(network):
            patch.setitem(attention._buffers, "unseen", other)

    return change


def _blind_to_the_class_token(network: Vtn, patch: pytest.MonkeyPatch) -> None:
    unseen = _attentions(network)[0].unseen.clone()
    unseen[1:, 0] = -np.inf
    for attention in _attentions(network):
        patch.setitem(attention._buffers, "unseen", unseen)


def _tables(**changed: list[int]) -> Callable[[Vtn, pytest.MonkeyPatch], None]:
    def change(network: Vtn, patch: pytest.MonkeyPatch) -> None:
        for name, values in changed.items():
            patch.setitem(network.temporal_encoder.embeddings._buffers, name, torch.tensor(values))

    return change


BROKEN = {
    "the frames' query for the class token": _without_own("query"),
    "the frames' key for the class token": _without_own("key"),
    "the frames' value for the class token": _without_own("value"),
    "8 frames to each side": _reach(8),
    "10 frames to each side": _reach(10),
    "frames do not see the class token": _blind_to_the_class_token,
    "one kind of token": _tables(kinds=[0] * 33),
    "the class token in place 0": _tables(places=[0, *range(32)]),
    "places from 2 on": _tables(places=[FULL.frame_places, *range(2, 34)]),
}


@pytest.mark.parametrize("part", BROKEN)
def test_each_part_of_the_encoder_shows(
    network: Vtn, features: Tensor, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    BROKEN[part](network, monkeypatch)
    assert (_logits(network, features) - _expected()).abs().max() > VISIBLE


@pytest.mark.parametrize("weight", ["cls_token", "mlp_head.0.bias", "mlp_head.1.bias"])
def test_each_weight_of_the_head_shows(
    network: Vtn, features: Tensor, monkeypatch: pytest.MonkeyPatch, weight: str
) -> None:
    owner, _, leaf = weight.rpartition(".")
    zeros = nn.Parameter(torch.zeros_like(network.get_parameter(weight)))
    monkeypatch.setitem(network.get_submodule(owner)._parameters, leaf, zeros)
    assert (_logits(network, features) - _expected()).abs().max() > VISIBLE


def test_norms_have_the_authors_epsilon() -> None:
    """They are too small to show in logits."""
    with torch.device("meta"):
        network = Vtn(FULL)
    found = {name: module.eps for name, module in network.named_modules() if isinstance(module, nn.LayerNorm)}
    assert {eps for name, eps in found.items() if name.startswith("backbone.")} == {1e-6}
    assert {eps for name, eps in found.items() if name.startswith("temporal_encoder.")} == {1e-12}
    assert found["mlp_head.0"] == 1e-5
