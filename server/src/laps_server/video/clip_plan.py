"""The frames of a segment's clips, and in which groups the clips become whole while frames are fetched in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from laps_server.arrays import IntArray
from laps_server.part import MediaWarning, Segment
from laps_server.sampled_frame import SampledFrame

GROUP_CLIPS = 8  # so that frames of few clips are held at once
EARLY_GROUP_CLIPS = 4  # behind a first one alone: as many as fill a batch on a CPU at one crop a clip


@dataclass(frozen=True, slots=True)
class ClipPlan:
    """The frames of each clip: ``keys`` name distinct frames in presentation order, ``clips`` is ``[V_t, T]``."""

    frames: tuple[SampledFrame, ...]
    keys: tuple[int, ...]
    clips: IntArray

    @classmethod
    def of(cls, clip_keys: IntArray, describe: Callable[[int], SampledFrame]) -> ClipPlan:
        """Gather the distinct keys of ``clip_keys`` ``[V_t, T]``."""
        keys, positions = np.unique(clip_keys, return_inverse=True)
        names = tuple(int(key) for key in keys)
        return cls(
            frames=tuple(describe(key) for key in names),
            keys=names,
            clips=positions.reshape(clip_keys.shape).astype(np.intp),
        )

    @property
    def runs_back(self) -> bool:
        """Whether a later place of some clip shows an earlier frame.

        ::

            places of a clip   0  1  2  3  4          0  1  2  3  4
            frames             3  7 11 15 19          3  7 11  5  9
                               in order               runs back
        """
        return bool((np.diff(self.clips, axis=1) < 0).any())

    def groups(self, *, early: bool) -> Iterator[tuple[range, range]]:
        """Consecutive clips that are worth handing over together, and the positions of the keys to be fetched first.

        Eight clips go at a time; ``early`` sends the first alone, so that its views can run while others are decoded,
        and then four at a time. Clips that are whole by then go along::

            last frame of clip   7  15  23  31  39  39  47
            early groups        [0][1   2   3   4   5] [6]
        """
        reach = np.maximum.accumulate(self.clips.max(axis=1))  # [V_t]
        start, fetched, size = 0, 0, 1 if early else GROUP_CLIPS
        while start < len(reach):
            stop = min(start + size, len(reach))
            while stop < len(reach) and reach[stop] == reach[stop - 1]:
                stop += 1
            reached = int(reach[stop - 1]) + 1
            yield range(start, stop), range(fetched, reached)
            start, fetched, size = stop, reached, EARLY_GROUP_CLIPS if early else GROUP_CLIPS


@dataclass(frozen=True, slots=True)
class WholeClips:
    """Clips of a segment whose frames have all been fetched; see :class:`laps_server.part.Part` for the fields."""

    segment: Segment
    ordinal: int
    segments_total: int
    plan: ClipPlan
    clips: range
    warnings: tuple[MediaWarning, ...]
