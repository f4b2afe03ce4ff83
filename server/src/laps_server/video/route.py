"""Ways to a key frame of a file, from which decoding may begin."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from laps_server.video.av_file.packet import Packet


@dataclass(frozen=True, slots=True)
class EntryPoint:
    """A place to begin decoding: the packets from there on, and the first timestamp that must come out."""

    start_pts: int
    packets: Iterator[Packet]
    is_start_of_file: bool


class Route(Protocol):
    """How to get to a key frame of a file."""

    def enter(self, pts: int, back: int | None) -> EntryPoint:
        """Go to the last key frame at or before ``pts``, or ``back`` key frames earlier, None for the start."""
        ...

    def is_key_ahead(self, pts: int) -> bool:
        """Whether a key frame lies between the packets read so far and ``pts``."""
        ...
