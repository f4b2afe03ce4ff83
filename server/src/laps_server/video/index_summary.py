"""What a container's index says at open, and how far it may be believed; plain numbers, no file.

An index says where packets lie. It may be incomplete (fragments that were not read yet), hold entries that an edit list
hides, or count samples in which there is no picture. So it is believed only where the header's count and duration are
those of its entries, and its entries lie evenly in time, none of them hidden::

    entries   |0 1 2 3 . . . . . . . . . . . n-1|        n = declared count
    time       first                        last         last - first + one step = declared duration
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

LAST_FRAME_SHARE = Fraction(1, 100)  # of the duration, by which the last frame may be shorter or longer than the others


@dataclass(frozen=True, slots=True)
class IndexSummary:
    """Entries of an index: how many, whether each looks like a frame, and the times of the first and the last."""

    length: int
    counts_frames: bool
    first: int
    last: int

    @property
    def span(self) -> int:
        """Time from the first entry to the last."""
        return self.last - self.first

    @property
    def step(self) -> Fraction:
        """Time from one entry to the next, on average; 0 for one entry."""
        return Fraction(self.span, self.length - 1) if self.length > 1 else Fraction(0)

    def agrees(self, *, count: int, duration: int) -> bool:
        """Whether a header's frame count and duration are what the index says."""
        return self.counts_frames and self.length == count and lasts(self.span, count, duration)


def lasts(last: int, count: int, duration: int) -> bool:
    """Whether ``count`` frames, the last of them ``last`` after the first, take about ``duration``."""
    if count == 1:
        return True
    step = Fraction(last, count - 1)
    return abs(duration - last - step) <= step + duration * LAST_FRAME_SHARE


def on_a_line(samples: Sequence[tuple[int, int]]) -> bool:
    """Whether times rise evenly with positions, to less than half a step.

    Entries that are no frames bend the line.

    Args:
        samples: (position, time), in order of position.
    """
    (begin, first), (end, last) = samples[0], samples[-1]
    if end == begin:
        return True
    step = (last - first) / (end - begin)
    return step > 0 and all(abs(time - first - (position - begin) * step) < step / 2 for position, time in samples)
