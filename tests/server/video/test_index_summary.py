"""When an index and a header may be believed: arithmetic, no file."""

from __future__ import annotations

import pytest

from laps_server.video.index_summary import IndexSummary, lasts, on_a_line

STEADY = IndexSummary(length=100, counts_frames=True, first=0, last=99 * 512)


def test_a_header_that_says_what_the_index_does_is_believed() -> None:
    assert STEADY.agrees(count=100, duration=100 * 512)
    assert STEADY.step == 512


@pytest.mark.parametrize(
    ("index", "count", "duration"),
    [
        (STEADY, 18, 100 * 512),
        (STEADY, 100, 100 * 512 // 30),
        (STEADY, 100, 300 * 512),
        (IndexSummary(length=100, counts_frames=False, first=0, last=99 * 512), 100, 100 * 512),
        (IndexSummary(length=50, counts_frames=True, first=0, last=49 * 512), 100, 100 * 512),
    ],
    ids=["fewer frames declared", "shorter declared", "longer declared", "hidden entries", "half an index"],
)
def test_a_header_that_says_otherwise_is_not(index: IndexSummary, count: int, duration: int) -> None:
    assert not index.agrees(count=count, duration=duration)


def test_the_last_frame_may_last_a_little_shorter_or_longer_than_the_others() -> None:
    for duration, about in ((99 * 512, True), (100 * 512, True), (101 * 512, True), (105 * 512, False), (0, False)):
        assert lasts(99 * 512, 100, duration) == about
    assert lasts(0, 1, 40), "of one frame nobody can tell"


def test_hidden_entries_bend_the_line_of_times() -> None:
    assert on_a_line([(position, 7 + position * 512) for position in range(0, 1000, 10)])
    bent = [(position, (position - (position > 500) * 20) * 512) for position in range(0, 1000, 10)]
    assert not on_a_line(bent)
    assert on_a_line([(3, 99)])
    assert not on_a_line([(0, 40), (1, 40)])
