from __future__ import annotations

import pytest
import torch

from laps_export.errors import ConfigError
from laps_export.families.laps import variants
from laps_export.families.laps.attention import Attention
from laps_export.families.laps.starting_weights.initialise import initialise, sine_positions
from laps_export.families.laps.visformer import Laps
from laps_export.train.motion_outputs import MOTION_OUTPUTS
from support.small_laps import build_laps


def _first_attention(model: Laps) -> Attention:
    return next(module for module in model.modules() if isinstance(module, Attention))


def test_the_same_seed_gives_the_same_weights() -> None:
    states = []
    for seed in (1, 1, 2):
        model = build_laps("laps_nano", classes=10)
        initialise(model, seed=seed, waves=True, outputs=MOTION_OUTPUTS)
        states.append(model.state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert not torch.equal(states[0]["stem.0.weight"], states[2]["stem.0.weight"])


def test_queries_begin_as_keys_and_values_as_what_they_are() -> None:
    model = build_laps("laps_nano", classes=10)
    initialise(model, seed=0, waves=True, outputs=MOTION_OUTPUTS)
    query, key, value = _first_attention(model).qkv.weight[..., 0, 0].chunk(3)
    assert torch.equal(query, key)
    assert torch.allclose(value, torch.eye(96), atol=0.1)


def test_a_token_begins_by_attending_to_itself() -> None:
    model = build_laps("base2d_nano", classes=10)
    initialise(model, seed=0, waves=True, outputs=MOTION_OUTPUTS)
    attention = _first_attention(model)
    tokens = torch.randn(2, 96, 7, 7)
    out = attention._attend(attention.qkv(tokens))
    alike = torch.nn.functional.cosine_similarity(out, tokens, dim=1)
    assert alike.mean() > 0.9


@pytest.mark.parametrize("name", variants.NANO)
def test_every_kind_of_attention_starts_with_modest_logits(name: str) -> None:
    model = build_laps(name, classes=10)
    initialise(model, seed=0, waves=True, outputs=MOTION_OUTPUTS)
    logits = model(torch.randn(2, 8, 3, 128, 128))
    assert torch.isfinite(logits).all()
    assert logits.std() < 2


def test_positions_tell_every_place_apart() -> None:
    positions = sine_positions(48, 14)[0].flatten(1).T  # [N, C]
    distances = torch.cdist(positions, positions) + 10 * torch.eye(len(positions))
    assert distances.min() > 0.3


def test_channels_that_are_no_multiple_of_four_are_an_error() -> None:
    with pytest.raises(ConfigError) as caught:
        sine_positions(30, 7)
    assert caught.value.code == "invalid_embed_dim"
