"""Reach key frames by reading on: a walk over the packets told where they lie."""

from __future__ import annotations

from collections.abc import Iterator

from laps_server.video.av_file.packet import Packet
from laps_server.video.av_file.video_file import VideoFile
from laps_server.video.packet_walk import PacketWalk
from laps_server.video.route import EntryPoint
from laps_server.video.timestamps import TimestampsUnreliable


class WalkedRoute:
    """Route by a :class:`PacketWalk`: packets up to the key frame are read and dropped, so that none is overshot."""

    def __init__(self, video: VideoFile, walk: PacketWalk) -> None:
        self._video = video
        self._walk = walk
        self._read = -1  # packets read since the start; -1 before the first rewind
        self._packets: Iterator[Packet] = iter(())

    def enter(self, pts: int, back: int | None) -> EntryPoint:
        """See :class:`laps_server.video.route.Route`."""
        key = None if back is None else self._walk.key_before(pts, back)
        target = 0 if key is None else self._walk.key_packets[key]
        if self._read < 0 or target < self._read:
            self._video.rewind()
            self._packets = self._video.packets()
            self._read = 0
        else:
            self._video.flush()
        while self._read < target:
            if next(self._packets, None) is None:
                raise TimestampsUnreliable("the file ended before a key frame seen earlier")
            self._read += 1
        start = self._walk.timestamps[0] if key is None else max(self._walk.key_times[key], self._walk.timestamps[0])
        return EntryPoint(start, self._counted(), is_start_of_file=key is None)

    def _counted(self) -> Iterator[Packet]:
        for packet in self._packets:
            self._read += 1
            yield packet

    def is_key_ahead(self, pts: int) -> bool:
        """See :class:`laps_server.video.route.Route`."""
        key = self._walk.key_before(pts, 0)
        return key is not None and self._walk.key_packets[key] >= self._read
