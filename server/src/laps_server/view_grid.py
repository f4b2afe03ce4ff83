"""Which views of a video are taken: how many clips and crops, and by which rule the clips are placed in time.

A *clip* is the T frames that a model sees at once. A *view* is a clip and a spatial crop, the unit of batching. Views
are numbered temporal-major, ``view = temporal * spatial_views + spatial``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from laps_server.errors import BadParameter

# laps_server/video/sampling has the arithmetic of each rule.
SamplingRule = Literal[
    "laps_uniform",
    "uniform_in_order",
    "slowfast_uniform",
    "slowfast_offset",
    "strided_centre",
    "segments_of_5",
    "whole_clip",
    "tokshift",
    "steady_25",
]

SEGMENT_FRAMES = 5  # consecutive frames of one segment by segments_of_5

MAX_TEMPORAL_VIEWS = 64
SPATIAL_VIEWS = (1, 3)
MAX_VIEWS = MAX_TEMPORAL_VIEWS * max(SPATIAL_VIEWS)  # of one request


@dataclass(frozen=True, slots=True)
class ViewGrid:
    """How many views of a video are taken: ``temporal`` clips along time, ``spatial`` crops of each."""

    temporal: int
    spatial: int

    def __post_init__(self) -> None:
        if not 1 <= self.temporal <= MAX_TEMPORAL_VIEWS or self.spatial not in SPATIAL_VIEWS:
            raise BadParameter(
                f"views {self.temporal}x{self.spatial} cannot be taken",
                hint=f"use TxS with T from 1 to {MAX_TEMPORAL_VIEWS} clips and S of 1 (centre) or 3 crops, as in 5x3",
            )

    @classmethod
    @lru_cache(maxsize=256)  # it is asked for each request, those that are refused included
    def parse(cls, text: str) -> ViewGrid:
        """Read ``"5x3"``; raises :class:`BadParameter` where the text is anything else."""
        match = re.fullmatch(r"([0-9]{1,4})x([0-9]{1,4})", text)
        if match is None:
            raise BadParameter(f"views {text[:40]!r} is not of the form TxS", hint="write it as 5x3, 10x3 or 1x1")
        return cls(int(match[1]), int(match[2]))

    @property
    def total(self) -> int:
        """Number of views, V = temporal * spatial."""
        return self.temporal * self.spatial

    def __str__(self) -> str:
        return f"{self.temporal}x{self.spatial}"
