from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Iterator

import pytest
import torch

from laps_export.data.batches import BATCHES_A_BLOCK, Batch, BatchStream, loader
from laps_export.data.clip_settings import ClipSettings, StreamSettings
from laps_export.data.clips import ClipMaker
from support.small_picture_pool import small_picture_pool


def _maker() -> ClipMaker:
    return ClipMaker(small_picture_pool(), ClipSettings(size=32, coded_share=0.0))


def _stream(**changes: int) -> BatchStream:
    return BatchStream(_maker, StreamSettings(**{"seed": 3, "batch": 4, "uses": 2, **changes}))


def test_a_block_is_the_same_whoever_makes_it() -> None:
    first, second = list(_stream().block(5)), list(_stream(first_block=5).block(5))
    assert len(first) == BATCHES_A_BLOCK
    for one, other in zip(first, second, strict=True):
        for part, twin in zip(one, other, strict=True):
            assert torch.equal(part, twin)


@pytest.mark.parametrize("uses", [1, 2, 4])
def test_every_clip_stands_in_as_many_batches_as_wanted(uses: int) -> None:
    stream = _stream(uses=uses)
    # Symmetries keep a clip's histogram of brightness; it tells clips apart.
    prints = Counter(
        float(clip.double().sum()) for frames in (batch.frames for batch in stream.block(0)) for clip in frames
    )
    assert set(prints.values()) == {uses}


def test_two_workers_deal_the_blocks_in_turn() -> None:
    stream = _stream()
    blocks = [list(stream.block(number)) for number in (0, 1)]
    dealt = iter(loader(stream, workers=2))
    got = [next(dealt) for _ in range(4)]
    expected = [blocks[0][0], blocks[1][0], blocks[0][1], blocks[1][1]]
    for one, other in zip(got, expected, strict=True):
        assert torch.equal(one[0], other[0])


class LargeBatches(BatchStream):
    """Made at once, and copied for a tenth of a second by the worker's thread that sends them."""

    def block(self, number: int) -> Iterator[Batch]:
        nothing = torch.zeros(1, dtype=torch.int64)
        yield Batch(torch.zeros(200_000_000, dtype=torch.uint8), nothing, nothing)


def test_a_loader_may_be_closed_while_its_workers_send() -> None:
    dealt = iter(loader(LargeBatches(_maker, StreamSettings(seed=3)), workers=1))
    next(dealt)
    (worker,) = multiprocessing.active_children()
    del dealt
    worker.join()
    assert worker.exitcode == 0


def test_difficulty_rises_over_the_first_batches() -> None:
    easy, hard = _stream(easy_batches=10_000), _stream()
    easy_frames = torch.cat([batch.frame_labels for batch in easy.block(0)])
    hard_frames = torch.cat([batch.frame_labels for batch in hard.block(0)])
    # An easy clip shows one motion from end to end.
    assert (easy_frames == easy_frames[:, :1]).all()
    assert not (hard_frames == hard_frames[:, :1]).all()
