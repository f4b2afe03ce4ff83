"""How long the segments of a video are, as requests write it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from laps_server.errors import BadParameter

MIN_SEGMENT_S = 1

_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True, slots=True)
class SegmentLength:
    """How long the segments are that a video is cut into, in seconds; exact, so that the thousandth begins in time."""

    seconds: Fraction

    def __post_init__(self) -> None:
        if self.seconds < MIN_SEGMENT_S:
            raise BadParameter(
                f"segments of {float(self.seconds):g} s are too short",
                hint=f"use at least {MIN_SEGMENT_S} s, as in 10s",
            )

    @classmethod
    def parse(cls, text: str) -> SegmentLength:
        """Read ``"10s"``, ``"1.5m"`` or ``"1h"``; raises :class:`BadParameter` where the text is anything else."""
        match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)([smh])", text)
        if match is None:
            raise BadParameter(
                f"segments {text[:40]!r} is not a length", hint="write a number and s, m or h, as in 10s, 1.5m or 1h"
            )
        return cls(Fraction(match[1]) * _UNIT_SECONDS[match[2]])
