"""Reach key frames through a container's own index, and read timestamps around them.

A seek is a request, not a promise: MP4 indexes decoding times, so a key frame that is decoded before the wanted
time may be shown after it; other demuxers guess positions. So every landing is checked. One that is late is
repeated further back, in the end from the start of the file::

    wanted            |
    first try    -----|--K        shown later than wanted: late
    second try   --K--|---        good
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, pairwise

from laps_server.video.av_file.packet import Packet
from laps_server.video.av_file.video_file import VideoFile
from laps_server.video.route import EntryPoint
from laps_server.video.timestamps import TimestampsUnreliable

MAX_SEEKS = 24  # each is twice as far back as the one before
SETTLED_PACKETS = 64  # without decoding times: no decoder holds frames back for longer


@dataclass(frozen=True, slots=True)
class NearbyFrames:
    """Frames read without decoding them: from a key frame on, up to the first after the time asked for.

    Attributes:
        timestamps: increasing presentation times, none missing in between.
        first_number: frame number of the first of them, None where the container's index does not tell.
    """

    timestamps: list[int]
    first_number: int | None


class SeekRoute:
    """Route by the demuxer's seek, checked at every landing."""

    def __init__(self, video: VideoFile, first_pts: int, *, numbered: bool) -> None:
        self._video = video
        self._first_pts = first_pts
        self._numbered = numbered
        self._by_decoding_time = video.headers.container == "mp4"
        self._second = max(1, int(1 / video.time_base))
        self._delay = 0  # the most that a packet was seen to be shown after its decoding
        self._last_key = 0  # index timestamp of the key packet read last
        self.ended_at: int | None = None  # the last frame's time, where reading around a window met the file's end

    def enter(self, pts: int, back: int | None) -> EntryPoint:
        """See :class:`laps_server.video.route.Route`."""
        if back is None:
            return self._start()
        target = pts
        step, late = self._second, 0
        for _ in range(MAX_SEEKS):
            if not self._video.seek(max(target, self._first_pts)):
                break
            packets = self._noted()
            landing = next((packet for packet in packets if packet.key), None)
            if landing is not None and landing.pts is not None and landing.pts <= pts and back == 0:
                return EntryPoint(landing.pts, chain((landing,), packets), is_start_of_file=False)
            if target <= self._first_pts:
                break
            if landing is None or landing.pts is None:  # the file ends before its index does
                target, step = target - step, step * 2
            elif landing.pts <= pts:
                back -= 1
                target = self._stamp(landing) - 1
            else:
                target, late = min(target, self._stamp(landing) - 1) - late, late * 2 or self._second
        return self._start()

    def is_key_ahead(self, pts: int) -> bool:
        """See :class:`laps_server.video.route.Route`."""
        position = self._video.index.key_position(pts - self._delay)
        return position is not None and self._video.index.timestamp(position) > self._last_key

    def around(self, lo: int, hi: int) -> NearbyFrames:
        """The frames that a window from ``lo`` to ``hi`` may use, read without decoding."""
        entry = self.enter(lo, 0)
        times: list[int] = []
        after: int | None = None
        since = 0
        position: int | None = None
        ended = True
        for packet in entry.packets:
            if not times and self._numbered and packet.dts is not None:
                position = self._video.index.key_position(packet.dts)
            if self._numbered and not packet.shown:
                raise TimestampsUnreliable("an entry of the index without a frame")
            if packet.shown:
                if packet.pts is None:
                    raise TimestampsUnreliable("a packet without a presentation time")
                times.append(packet.pts)
                if packet.pts > hi and (after is None or packet.pts < after):
                    after, since = packet.pts, 0
            since += 1
            if after is not None and (since > SETTLED_PACKETS or (packet.dts is not None and packet.dts >= after)):
                ended = False
                break
        times.sort()
        leading = bisect_left(times, entry.start_pts)
        kept = [time for time in times[leading:] if after is None or time <= after]
        if any(time == following for time, following in pairwise(kept)):
            raise TimestampsUnreliable("presentation times repeat")
        if ended and kept:
            self.ended_at = kept[-1]
        return NearbyFrames(kept, None if position is None else position + leading)

    def _start(self) -> EntryPoint:
        self._video.rewind()
        self._last_key = 0
        return EntryPoint(self._first_pts, self._noted(), is_start_of_file=True)

    def _stamp(self, packet: Packet) -> int:
        """The time under which the container's index holds a packet."""
        stamp = packet.dts if self._by_decoding_time else packet.pts
        if stamp is None:
            raise TimestampsUnreliable("a key frame without the time that its index uses")
        return stamp

    def _noted(self) -> Iterator[Packet]:
        for packet in self._video.packets():
            if packet.pts is not None and packet.dts is not None and self._by_decoding_time:
                self._delay = max(self._delay, packet.pts - packet.dts)
            if packet.key:
                self._last_key = self._stamp(packet)
            yield packet
