from __future__ import annotations

import itertools

import pytest
import torch

from laps_export.errors import ConfigError
from laps_export.families.laps.attention import Attention, AttentionKind, temporal_shift
from laps_export.families.leap_pairing import LeapPairing, leap_pairs

FRAMES = 8
HEADS = 2
DIM = 16
SIDE = 2


@pytest.mark.parametrize(
    ("level", "pairs"),
    [
        (1, ((0, 4), (1, 5), (2, 6), (3, 7))),
        (2, ((0, 2), (1, 3), (4, 6), (5, 7))),
        (3, ((0, 1), (2, 3), (4, 5), (6, 7))),
    ],
)
def test_pairs_of_eight_frames(level: int, pairs: tuple[tuple[int, int], ...]) -> None:
    assert leap_pairs(8, level) == pairs


@pytest.mark.parametrize(("frames", "level"), [(16, 4), (32, 5), (32, 1), (12, 2)])
def test_every_frame_is_in_one_pair_a_step_apart(frames: int, level: int) -> None:
    pairs = leap_pairs(frames, level)
    assert sorted(itertools.chain(*pairs)) == list(range(frames))
    assert {b - a for a, b in pairs} == {frames // 2**level}


@pytest.mark.parametrize(
    ("frames", "level", "hint"),
    [(8, 4, "levels 1 to 3"), (8, 0, "levels 1 to 3"), (12, 3, "levels 1 to 2"), (7, 1, "even frame count")],
)
def test_a_level_that_does_not_fit_says_which_do(frames: int, level: int, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        leap_pairs(frames, level)
    assert caught.value.code == "invalid_level"
    assert str(level) in caught.value.message
    assert hint in caught.value.hint


def test_pairing_makes_partners_neighbours_and_is_undone() -> None:
    pairing = LeapPairing(FRAMES, 1)
    frames = torch.arange(2 * FRAMES, dtype=torch.float32).view(-1, 1, 1, 1)  # two clips
    paired = pairing.pair(frames)
    assert paired.flatten().tolist()[:4] == [0, 4, 1, 5]
    assert paired.flatten().tolist()[8:12] == [8, 12, 9, 13]
    assert torch.equal(pairing.unpair(paired), frames)


def test_pairing_tables_are_buffers_that_no_checkpoint_holds() -> None:
    pairing = LeapPairing(FRAMES, 2)
    assert {name for name, _ in pairing.named_buffers()} == {"order", "restore"}
    assert pairing.state_dict() == {}


def _frame_numbers(channels: int) -> torch.Tensor:
    """Every element says which frame it comes from, counted from 1: `[T, C, 1, 1]`."""
    return torch.arange(1.0, FRAMES + 1).view(-1, 1, 1, 1).expand(-1, channels, 1, 1)


def test_shift_of_whole_channels() -> None:
    shifted = temporal_shift(_frame_numbers(8), frames=FRAMES, groups=1).flatten(1)
    assert shifted[0].tolist() == [2, 2, 0, 0, 1, 1, 1, 1]
    assert shifted[3].tolist() == [5, 5, 3, 3, 4, 4, 4, 4]
    assert shifted[7].tolist() == [0, 0, 7, 7, 8, 8, 8, 8]


def test_shift_inside_every_head() -> None:
    shifted = temporal_shift(_frame_numbers(8), frames=FRAMES, groups=2).flatten(1)
    assert shifted[0].tolist() == [2, 0, 1, 1, 2, 0, 1, 1]
    assert shifted[7].tolist() == [0, 7, 8, 8, 0, 7, 8, 8]


def test_shift_does_not_cross_clips() -> None:
    clips = torch.cat([torch.zeros(FRAMES, 4, 1, 1), torch.ones(FRAMES, 4, 1, 1)])
    shifted = temporal_shift(clips, frames=FRAMES, groups=1)
    assert shifted[:FRAMES].abs().max() == 0
    assert shifted[FRAMES, 1] == 0


def _attention(kind: AttentionKind, level: int = 2) -> Attention:
    torch.manual_seed(0)
    return Attention(DIM, heads=HEADS, frames=FRAMES, kind=kind, level=level).eval()


def _naive(attention: Attention, x: torch.Tensor, groups: list[list[int]]) -> torch.Tensor:
    """Softmax over the tokens of each group of frames, one query at a time; no shift."""
    width = DIM // HEADS
    q, k, v = (t.flatten(2).unflatten(1, (HEADS, width)) for t in attention.qkv(x).chunk(3, dim=1))
    mixed = torch.zeros_like(q)
    for group, head in itertools.product(groups, range(HEADS)):
        keys = torch.cat([k[t, head] for t in group], dim=1)  # [d, G*N]
        values = torch.cat([v[t, head] for t in group], dim=1)
        for t, n in itertools.product(group, range(SIDE**2)):
            scores = keys.T @ q[t, head, :, n] / width**0.5
            mixed[t, head, :, n] = values @ scores.softmax(0)
    out: torch.Tensor = attention.proj(mixed.reshape(x.shape))
    return out


@pytest.mark.parametrize(
    ("kind", "groups"),
    [
        (AttentionKind.BASE2D, [[t] for t in range(FRAMES)]),
        (AttentionKind.BASE3D, [list(range(FRAMES))]),
        (AttentionKind.LA, [[0, 2], [1, 3], [4, 6], [5, 7]]),
    ],
)
def test_attention_equals_a_naive_one(kind: AttentionKind, groups: list[list[int]]) -> None:
    attention = _attention(kind)
    x = torch.randn(FRAMES, DIM, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(attention(x), _naive(attention, x, groups), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    ("kind", "seen_by_frame_2"),
    [
        ("base2d", {2}),
        ("base3d", set(range(FRAMES))),
        ("plain_shift", {1, 2, 3}),
        ("p_shift", {1, 2, 3}),
        ("la", {0, 2}),
        # Frame 2 attends to 0; the shift brings in frames 1 and 3, which attend to each other.
        ("laps", {0, 1, 2, 3}),
    ],
)
def test_which_frames_a_frame_sees(kind: str, seen_by_frame_2: set[int]) -> None:
    attention = _attention(AttentionKind(kind))
    x = torch.randn(FRAMES, DIM, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        before = attention(x)[2]
        seen = set()
        for t in range(FRAMES):
            changed = x.clone()
            changed[t] += 1.0
            if not torch.allclose(attention(changed)[2], before, atol=1e-6):
                seen.add(t)
    assert seen == seen_by_frame_2


@pytest.mark.parametrize("kind", AttentionKind)
def test_clips_of_a_batch_do_not_mix(kind: AttentionKind) -> None:
    attention = _attention(kind)
    x = torch.randn(3 * FRAMES, DIM, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        alone = torch.cat([attention(clip) for clip in torch.split(x, FRAMES)])
        torch.testing.assert_close(attention(x), alone, atol=1e-6, rtol=1e-5)
