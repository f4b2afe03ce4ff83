"""What the structured start promises: coarse waves, products that tell a movement, a head that reads them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from laps_export.data.camera_motion import CameraMotion
from laps_export.errors import ConfigError
from laps_export.families.laps import variants
from laps_export.families.laps.attention import Attention
from laps_export.families.laps.family import PIXELS
from laps_export.families.laps.starting_weights.initialise import initialise
from laps_export.families.laps.starting_weights.products import best_terms, wave_statistics
from laps_export.families.laps.starting_weights.tokens import (
    WAVE_GROUPS,
    WaveGroup,
    cosines,
    first_attention,
    group_channels,
)
from laps_export.families.laps.visformer import Laps
from laps_export.families.normalise import Normalise
from laps_export.train.motion_outputs import MOTION_OUTPUTS
from support.small_laps import build_laps
from support.small_picture_pool import easy_maker

CLASSES = len(CameraMotion)
SHIFTING = ("laps_nano", "p_shift_nano", "plain_shift_nano")


def _started(name: str, *, seed: int = 0, waves: bool = True) -> Laps:
    model = build_laps(name, classes=CLASSES)
    initialise(model, seed=seed, waves=waves, outputs=MOTION_OUTPUTS)
    return model


@pytest.mark.parametrize("name", variants.NANO)
def test_every_channel_of_stage_2_has_one_meaning(name: str) -> None:
    attention = first_attention(build_laps(name).stage2)
    channels: list[int] = []
    for group in group_channels(attention):
        channels += [*group.ahead, *group.back, *group.staying]
        channels += [group.across, group.down, group.zoom, group.roll, group.right, group.sink]
    assert sorted(channels) == list(range(96))


@pytest.mark.parametrize("name", SHIFTING)
def test_the_shift_takes_ahead_from_the_next_frame_and_back_from_the_previous(name: str) -> None:
    attention = first_attention(build_laps(name).stage2)
    numbers = torch.zeros(8, 96, 8, 8)
    numbers += torch.arange(8.0)[:, None, None, None]  # each frame holds its number
    with torch.no_grad():
        attention.qkv.weight.copy_(torch.cat([torch.zeros(192, 96), torch.eye(96)])[..., None, None])
        attention.proj.weight.copy_(torch.eye(96)[..., None, None])
        attention.pairing = None
        attention.group = 1
        seen = attention(numbers)[3, :, 0, 0]
    for group in group_channels(attention):
        assert set(seen[list(group.ahead)].tolist()) == {4.0}
        assert set(seen[list(group.back)].tolist()) == {2.0}
        assert set(seen[[*group.staying, group.right, group.zoom]].tolist()) == {3.0}


def test_a_width_without_room_is_an_error() -> None:
    attention = Attention(48, heads=3, frames=8, kind=variants.VARIANTS["p_shift_nano"].config.attention)
    with pytest.raises(ConfigError) as caught:
        group_channels(attention)
    assert caught.value.code == "invalid_embed_dim"


def test_the_stem_holds_every_picture_in_both_signs() -> None:
    stem = next(module for module in _started("laps_nano").modules() if isinstance(module, torch.nn.Conv2d))
    plus, minus = stem.weight[0].flatten(), stem.weight[1].flatten()
    assert torch.nn.functional.cosine_similarity(plus, minus, dim=0) < -0.8


def test_cosines_are_orthonormal() -> None:
    assert torch.allclose(cosines(8) @ cosines(8).T, torch.eye(8), atol=1e-6)


def test_a_movement_joins_even_waves_to_odd_ones() -> None:
    _, moved, _ = wave_statistics()
    for one in range(4):
        for other in range(4):
            joined = abs(float(moved[one, other])) > 1e-6
            assert joined == ((one + other) % 2 == 1)


def test_the_expected_product_is_that_of_rows_of_pixels() -> None:
    # The closed form against an actual random walk that moves to the right.
    rng = np.random.default_rng(0)
    decay = np.exp(-1 / 30.0)
    rows = np.zeros((60_000, 40))
    rows[:, 0] = rng.standard_normal(60_000)
    for here, there in pairwise(range(40)):
        rows[:, there] = decay * rows[:, here] + np.sqrt(1 - decay**2) * rng.standard_normal(60_000)
    waves = cosines(16)[:4].double().numpy()
    # Content that moves right comes from the left.
    now, before, after = (rows[:, 12 + shift : 28 + shift] @ waves.T for shift in (0, 3, -3))
    measured = now.T @ (after - before) / len(rows)
    np.testing.assert_allclose(measured, wave_statistics()[1].numpy(), atol=0.1)


@pytest.mark.parametrize("group", WAVE_GROUPS)
def test_terms_come_surest_first_for_both_axes(group: WaveGroup) -> None:
    terms = best_terms(group, 16)
    assert [term.axis for term in terms] == [0] * 16 + [1] * 16
    for axis in (0, 1):
        worths = [abs(term.worth) for term in terms if term.axis == axis]
        assert worths == sorted(worths, reverse=True)


@pytest.mark.parametrize("name", SHIFTING)
def test_pans_and_tilts_are_told_apart_before_anything_is_learned(name: str) -> None:
    model = _started(name).train()  # batch statistics of the clips themselves
    maker = easy_maker(128)
    moves = (CameraMotion.PAN_LEFT, CameraMotion.PAN_RIGHT, CameraMotion.TILT_UP, CameraMotion.TILT_DOWN)
    clips = [maker.make([1, number], motion=moves[number % 4]) for number in range(48)]
    frames = torch.from_numpy(np.stack([clip.frames for clip in clips]))
    with torch.no_grad():
        answers = model(Normalise(PIXELS)(frames)).mean(1)[:, 1:5].argmax(1) + 1
    right = (answers.numpy() == np.array([clip.label for clip in clips])).mean()
    assert right > 0.6  # chance is 0.25


@pytest.mark.parametrize("name", ["base2d_nano", "base3d_nano", "la_nano"])
def test_without_a_shift_there_are_no_products(name: str) -> None:
    waves, plain = _started(name), _started(name, waves=False)
    weights, twins = waves.stage2.state_dict(), plain.stage2.state_dict()
    for key in (key for key in weights if key.endswith("mlp.conv1.weight")):
        assert torch.equal(weights[key], twins[key])
