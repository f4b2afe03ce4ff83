"""ViT (Video) and TokShift against what the authors' classes computed, and each part of them broken on purpose."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from laps_export.families import registry, token_layers, vision_transformer
from laps_export.families.channel_shift import shift_tokens
from laps_export.families.vit import network
from laps_export.families.vit.family import VARIANTS
from laps_export.families.vit.network import Vit
from laps_export.graph.complexity import measure
from support.zoo_goldens import LOGITS_TOLERANCE, STAGE_TOLERANCE, draw, fill, golden_input, stage_figures, zoo_golden

STAGES = ("blocks.0", "blocks.5", "blocks.11")
NAMES = ("vit_video", "tokshift_16", "tokshift_mr")
VISIBLE = 100 * LOGITS_TOLERANCE


@pytest.fixture(scope="module")
def networks() -> dict[str, Vit]:
    """The one that was asked for last: they are large."""
    return {}


def _built(networks: dict[str, Vit], name: str) -> Vit:
    if name not in networks:
        networks.clear()
        made = Vit(VARIANTS[name].config).eval()
        fill(made, zoo_golden("vit").gains)
        networks[name] = made
    return networks[name]


def _logits(made: Vit) -> Tensor:
    with torch.inference_mode():
        logits: Tensor = made(golden_input(made.config.frames, made.config.resolution))[0][0]
    return logits


def _first_frame(made: Vit) -> Tensor:
    """Its logits, where frames do not see each other."""
    with torch.inference_mode():
        logits: Tensor = made.head(made.class_tokens(golden_input(8, made.config.resolution)[0, :1]))[0]
    return logits


def _expected(name: str) -> Tensor:
    return torch.from_numpy(zoo_golden("vit").arrays[name])


@pytest.mark.parametrize("name", NAMES)
def test_frame_logits_and_stages_equal_the_authors(networks: dict[str, Vit], name: str) -> None:
    made, golden = _built(networks, name), zoo_golden("vit")
    with stage_figures(made, STAGES) as stages:
        logits = _logits(made)
    torch.testing.assert_close(logits, _expected(name), atol=LOGITS_TOLERANCE, rtol=0)
    for stage, figures in stages.items():
        np.testing.assert_allclose(figures, golden.arrays[f"{name}/stage/{stage}"], rtol=STAGE_TOLERANCE)


def test_the_first_frame_alone_is_right_where_nothing_is_broken(networks: dict[str, Vit]) -> None:
    difference = (_first_frame(_built(networks, "vit_video")) - _expected("vit_video")[0]).abs()
    assert difference.max() <= LOGITS_TOLERANCE


def test_names_and_shapes_are_the_authors() -> None:
    with torch.device("meta"):
        made = Vit(VARIANTS["vit_video"].config)
    assert {name: tuple(value.shape) for name, value in made.state_dict().items()} == zoo_golden("vit").shapes


@pytest.mark.parametrize("name", NAMES)
def test_costs_equal_fvcores_of_the_authors_class(name: str) -> None:
    facts = zoo_golden("vit").facts["variants"][name]
    with torch.device("meta"):
        cost = measure(registry.build(name))
    assert cost.gmacs == pytest.approx(facts["gmacs_fvcore"], rel=1e-3)
    assert cost.parameters_m == pytest.approx(facts["params_millions"], rel=1e-6)


def _with_shift(monkeypatch: pytest.MonkeyPatch, function: Any) -> None:
    monkeypatch.setattr(network, "shift_class_tokens", function)


def _only_every(monkeypatch: pytest.MonkeyPatch, turn: int) -> None:
    """One of the two shifts of every block."""
    shift, calls = network.shift_class_tokens, iter(range(10**6))
    _with_shift(monkeypatch, lambda x, frames: shift(x, frames=frames) if next(calls) % 2 == turn else x)


def _backwards(monkeypatch: pytest.MonkeyPatch) -> None:
    def back(x: Tensor, *, frames: int, groups: int = 1) -> Tensor:
        clips = x.reshape(-1, frames, *x.shape[1:]).flip(1).flatten(0, 1)
        return shift_tokens(clips, frames=frames).reshape(-1, frames, *x.shape[1:]).flip(1).flatten(0, 1)

    monkeypatch.setattr(network, "shift_tokens", back)


def _in_the_branch_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shortcut takes the stream as it was."""

    def forward(block: Any, x: Tensor) -> Tensor:
        x = x + block.attn(block.norm1(network.shift_class_tokens(x, frames=block.frames)))
        mixed: Tensor = x + block.mlp(block.norm2(network.shift_class_tokens(x, frames=block.frames)))
        return mixed

    monkeypatch.setattr(network.ShiftBlock, "forward", forward)


def _around_the_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    def rolled(x: Tensor, *, frames: int, groups: int = 1) -> Tensor:
        clips = x.reshape(-1, frames, *x.shape[1:])
        fold = x.shape[-1] // 4
        parts = [clips[..., :fold].roll(-1, 1), clips[..., fold : 2 * fold].roll(1, 1), clips[..., 2 * fold :]]
        return torch.cat(parts, -1).flatten(0, 1)

    monkeypatch.setattr(network, "shift_tokens", rolled)


def _eighths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("laps_export.families.channel_shift.SHIFT_FOLDS", 8)


BROKEN_SHIFTS = {
    "no shift": lambda patch: _with_shift(patch, lambda x, **_: x),
    "before attention alone": lambda patch: _only_every(patch, 0),
    "before the MLP alone": lambda patch: _only_every(patch, 1),
    "all tokens": lambda patch: _with_shift(patch, lambda x, frames: shift_tokens(x, frames=frames)),
    "the other way": _backwards,
    "in the branch alone": _in_the_branch_alone,
    "around the ends": _around_the_ends,
    "eighths": _eighths,
}


@pytest.mark.parametrize("part", BROKEN_SHIFTS)
def test_each_part_of_the_shift_shows(networks: dict[str, Vit], monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    made = _built(networks, "tokshift_mr")
    BROKEN_SHIFTS[part](monkeypatch)
    assert (_logits(made) - _expected("tokshift_mr")).abs().max() > VISIBLE


def _scaled_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    attend = token_layers.attend
    monkeypatch.setattr(token_layers, "attend", lambda q, k, v, heads: attend(q * 8, k, v, heads=heads))


def _keys_for_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    attend = token_layers.attend
    monkeypatch.setattr(token_layers, "attend", lambda q, k, v, heads: attend(k, q, v, heads=heads))


def _halved_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    attend = token_layers.attend
    monkeypatch.setattr(token_layers, "attend", lambda q, k, v, heads: attend(q, k, v, heads=heads // 2))


def _relu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nn.functional, "gelu", nn.functional.relu)


def _column_by_column(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vision_transformer.PatchEmbed, "forward", lambda embed, x: _turned(embed.proj(x)))


def _turned(maps: Tensor) -> Tensor:
    """Column by column."""
    return maps.transpose(2, 3).flatten(2).transpose(1, 2)


BROKEN_PARTS = {
    "unscaled attention": _scaled_otherwise,
    "keys for queries": _keys_for_queries,
    "half as many heads": _halved_heads,
    "ReLU for GELU": _relu,
    "patches column by column": _column_by_column,
}


@pytest.mark.parametrize("part", BROKEN_PARTS)
def test_each_part_of_the_transformer_shows(
    networks: dict[str, Vit], monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    made = _built(networks, "vit_video")
    BROKEN_PARTS[part](monkeypatch)
    assert (_first_frame(made) - _expected("vit_video")[0]).abs().max() > VISIBLE


@pytest.mark.parametrize("weight", ["cls_token", "pos_embed", "norm.bias", "patch_embed.proj.bias"])
def test_each_weight_beside_the_blocks_shows(networks: dict[str, Vit], weight: str) -> None:
    made = _built(networks, "vit_video")
    value = made.state_dict()[weight]
    value.zero_()
    try:
        assert (_first_frame(made) - _expected("vit_video")[0]).abs().max() > VISIBLE
    finally:
        value.copy_(draw(weight, value.shape, zoo_golden("vit").gains))


def test_norms_have_the_authors_epsilon() -> None:
    """It is too small to show in logits."""
    small = Vit(replace(VARIANTS["vit_video"].config, width=8, heads=2, depth=1, resolution=32, classes=3))
    assert {module.eps for module in small.modules() if isinstance(module, nn.LayerNorm)} == {1e-6}
