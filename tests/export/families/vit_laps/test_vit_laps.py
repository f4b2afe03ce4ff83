"""ViT-LAPS: no golden holds its logits, so its attention is held to one written out frame by frame."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from laps_export.checkpoint.loading import load_weights
from laps_export.checkpoint.reading import read_checkpoint
from laps_export.errors import ConfigError
from laps_export.families import registry
from laps_export.families.family import VideoModel
from laps_export.families.leap_pairing import leap_pairs
from laps_export.families.vit_laps import network as network_module
from laps_export.families.vit_laps.config import VitLapsConfig
from laps_export.families.vit_laps.family import VIT_LAPS
from laps_export.families.vit_laps.network import LeapAttention, VitLaps
from laps_export.graph.complexity import measure
from support.family_exports import export_small
from support.zoo_goldens import fill, golden_input

SMALL = VitLapsConfig(frames=8, resolution=48, width=16, heads=2, depth=5, classes=5)


def _filled() -> VitLaps:
    network = VitLaps(SMALL).eval()
    fill(network, [])
    return network


def _written_out(attention: LeapAttention, x: Tensor, level: int) -> Tensor:
    """One clip `[T, L, C]`: frame by frame, head by head, query by query."""
    frames, tokens, width = x.shape
    heads = attention.heads
    span = width // heads
    q, k, v = attention.qkv(x).reshape(frames, tokens, 3, heads, span).permute(2, 0, 3, 1, 4)  # [T, h, L, d] each
    partner = {a: b for pair in leap_pairs(frames, level) for a, b in (pair, pair[::-1])}
    mixed = torch.zeros(frames, heads, tokens, span)
    for t in range(frames):
        for head in range(heads):
            keys = torch.cat([k[t, head], k[partner[t], head]])
            values = torch.cat([v[t, head], v[partner[t], head]])
            mixed[t, head] = ((q[t, head] @ keys.T) / span**0.5).softmax(-1) @ values
    shifted = mixed.clone()
    quarter = span // 4
    for t in range(frames):
        shifted[t, :, :, :quarter] = mixed[t + 1, :, :, :quarter] if t + 1 < frames else 0
        shifted[t, :, :, quarter : 2 * quarter] = mixed[t - 1, :, :, quarter : 2 * quarter] if t else 0
    out: Tensor = attention.proj(shifted.permute(0, 2, 1, 3).reshape(frames, tokens, width))
    return out


@pytest.mark.parametrize("level", [1, 2, 3])
def test_attention_is_that_of_leap_pairs_with_a_shift_in_every_head(level: int) -> None:
    attention = LeapAttention(SMALL, level).eval()
    fill(attention, [])
    x = torch.randn(8, 10, 16, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(attention(x), _written_out(attention, x, level))


def test_clips_do_not_see_each_other() -> None:
    network, clip = _filled(), golden_input(8, 48)
    with torch.inference_mode():
        pair = network(torch.cat([clip, clip.flip(1)]))[0]
        torch.testing.assert_close(pair[:1], network(clip)[0], atol=1e-5, rtol=1e-5)


def test_blocks_take_the_levels_in_turn() -> None:
    attentions = [module for module in _filled().modules() if isinstance(module, LeapAttention)]
    found = [attention.pairing.order.tolist()[:2] for attention in attentions]
    assert found == [[0, 4], [0, 2], [0, 1], [0, 4], [0, 4]]


def test_it_costs_what_the_authors_does() -> None:
    with torch.device("meta"):
        cost = measure(registry.build("vit_laps"))
    assert cost.gmacs == pytest.approx(146.381, rel=1e-3)
    assert cost.parameters_m == pytest.approx(86.106, rel=1e-5)


def test_an_authors_checkpoint_loads_where_it_is_said_to_be_one(tmp_path: Path) -> None:
    network = _filled()
    state = {f"module.base_model.{name}": value for name, value in network.state_dict().items()}
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "c.pth")
    read = read_checkpoint(tmp_path / "c.pth", family=VIT_LAPS)
    fresh = VideoModel(family=VIT_LAPS, variant="small", config=SMALL, network=VitLaps(SMALL).eval())
    load_weights(fresh, read)
    with torch.inference_mode():
        assert torch.equal(fresh.network(golden_input(8, 48))[0], network(golden_input(8, 48))[0])


def test_a_small_one_passes_the_gate_and_is_served_as_laps_is(tmp_path: Path) -> None:
    manifest = export_small(VIT_LAPS, SMALL, tmp_path, max_batch=4)
    assert (manifest["sampling"], manifest["inputs"][0]["stride"], manifest["default_views"]) == (
        "laps_uniform",
        8,
        "5x3",
    )
    assert manifest["preprocess"]["mean"] == [0.5] * 3
    assert manifest["embedding"] == {"name": "embedding", "size": 16}


def test_a_graph_without_the_shift_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    network, clip = _filled(), golden_input(8, 48)
    with torch.inference_mode():
        before = network(clip)[0]
        monkeypatch.setattr(network_module, "shift_tokens", lambda x, **_: x)
        assert (network(clip)[0] - before).abs().max() > 1e-2


def test_a_configuration_is_read_back_as_it_was() -> None:
    assert VitLapsConfig.from_json({**SMALL.to_json(), "levels": [1, 2, 3, 1]}) == SMALL
    for wrong in ({**SMALL.to_json(), "levels": "12"}, {**SMALL.to_json(), "levels": [1.5]}):
        with pytest.raises(ConfigError) as caught:
            VitLapsConfig.from_json(wrong)
        assert caught.value.code == "invalid_config"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"levels": (4,)}, "invalid_level"),
        ({"levels": ()}, "invalid_levels"),
        ({"frames": 6}, "invalid_level"),
        ({"width": 12}, "invalid_width"),
        ({"resolution": 8}, "invalid_resolution"),
    ],
)
def test_numbers_that_no_network_can_have(change: dict[str, object], code: str) -> None:
    with pytest.raises(ConfigError) as caught:
        replace(SMALL, **change)  # type: ignore[arg-type]
    assert caught.value.code == code
