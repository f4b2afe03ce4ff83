"""Decode chosen frames of a video in one pass in presentation order, entering at key frames.

What comes out of the decoder is checked frame by frame against what went in. Behind a key frame, every packet's
timestamp must come out, in order, beginning with the key frame itself; leading pictures, shown before a key
frame that they follow in the file, are ignored because they may refer to frames never decoded::

    file order       K  b  b  P  b  b  P          K = key frame, b before it in presentation: ignored
    out              b  b  K  b  b  P  P
    checked                K  b  b  P  P

A difference means that decoding cannot begin there: the sweep enters one key frame earlier, then four, then at
the start of the file. Where even that differs, the timestamps are wrong and :class:`TimestampsUnreliable` is raised.

Where the start was the only way, key frame marks say nothing (H.263 in AVI marks every packet). From there on nothing
is skipped, so that the file is decoded once and not once for every frame wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Protocol

from laps_server.video.decode import Packet, Picture, VideoFile
from laps_server.video.packet_walk import PacketWalk, TimestampsUnreliable

# Key frames further back at each try; None is the start of the file.
STEPS_BACK: tuple[int | None, ...] = (0, 1, 4, None)


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


class WalkedRoute:
    """Route by a :class:`PacketWalk`: packets up to the key frame are read and dropped, so nothing lands late."""

    def __init__(self, video: VideoFile, walk: PacketWalk) -> None:
        self._video = video
        self._walk = walk
        self._read = -1  # packets read since the start; -1 before the first rewind
        self._source: Iterator[Packet] = iter(())

    def enter(self, pts: int, back: int | None) -> EntryPoint:
        """See :class:`Route`."""
        key = None if back is None else self._walk.key_before(pts, back)
        target = 0 if key is None else self._walk.key_packets[key]
        if self._read < 0 or target < self._read:
            self._video.rewind()
            self._source = self._video.packets()
            self._read = 0
        else:
            self._video.forget()
        while self._read < target:
            if next(self._source, None) is None:
                raise TimestampsUnreliable("the file ended before a key frame seen earlier")
            self._read += 1
        start = self._walk.timestamps[0] if key is None else max(self._walk.key_times[key], self._walk.timestamps[0])
        return EntryPoint(start, self._counted(), is_start_of_file=key is None)

    def _counted(self) -> Iterator[Packet]:
        for packet in self._source:
            self._read += 1
            yield packet

    def is_key_ahead(self, pts: int) -> bool:
        """See :class:`Route`."""
        key = self._walk.key_before(pts, 0)
        return key is not None and self._walk.key_packets[key] >= self._read


class Sweep:
    """One pass over a video for chosen frames; ``keep`` gets each of them once, in order.

    Entering over and over is bounded by ``max_packets`` decoded.
    """

    def __init__(
        self, video: VideoFile, route: Route, keep: Callable[[int, Picture], None], *, max_packets: int
    ) -> None:
        self._video = video
        self._route = route
        self._keep = keep
        self._decoded = 0
        self._allowed = max_packets
        self._jumps = True
        self._pictures: Iterator[Picture] = iter(())  # what comes from the place that decoding has reached

    def allow(self, max_packets: int) -> None:
        """Let so many packets be decoded in all, where a video's segments are fetched one after the other."""
        self._allowed = max_packets

    def fetch(self, wanted: Sequence[int]) -> None:
        """Fetch the frames whose timestamps are in increasing ``wanted``, all behind those fetched before.

        Decoding goes on from where the last call left it.

        Raises:
            TimestampsUnreliable: a frame does not come out of the decoder.
        """
        for pts in wanted:
            if self._jumps and self._route.is_key_ahead(pts):  # a jump pays
                self._pictures = iter(())
            if not self._take(pts):
                self._enter_for(pts)

    def _enter_for(self, pts: int) -> None:
        for back in STEPS_BACK:
            entry = self._route.enter(pts, back)
            self._pictures = self._checked(entry)
            if self._take(pts):
                self._jumps = back is not None
                return
            if entry.is_start_of_file:
                break
        raise TimestampsUnreliable(f"the frame at {pts} does not come out of the decoder")

    def _take(self, pts: int) -> bool:
        """Decode up to the picture at ``pts`` and keep it; false where it cannot be had from here."""
        for picture in self._pictures:
            if picture.pts == pts:
                self._keep(pts, picture)
                return True
        return False

    def _checked(self, entry: EntryPoint) -> Iterator[Picture]:
        """The pictures from an entry on, until one is not what went in."""
        due: list[int] = []  # heap of timestamps that went in and have to come out
        started = False
        draining = False
        while not draining:
            packet = next(entry.packets, None)
            draining = packet is None
            self._decoded += 1
            if self._decoded > self._allowed:
                raise TimestampsUnreliable("too much was decoded for the frames that came of it")
            if packet is not None and packet.shown and packet.pts is not None and packet.pts >= entry.start_pts:
                heappush(due, packet.pts)
            for picture in self._video.decode(packet):
                if picture.pts is not None and picture.pts < entry.start_pts:
                    continue
                if not due or heappop(due) != picture.pts or not (started or _may_begin(picture, entry)):
                    return
                started = True
                yield picture


def _may_begin(picture: Picture, entry: EntryPoint) -> bool:
    return picture.pts == entry.start_pts and (picture.entry or entry.is_start_of_file)
