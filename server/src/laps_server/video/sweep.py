"""Decode chosen frames of a video in one pass in presentation order, entering at key frames.

What comes out of the decoder is checked frame by frame against what went in. Behind a key frame, every packet's
timestamp must come out, in order, beginning with the key frame itself; leading pictures, shown before a key
frame that they follow in the file, are ignored because they may refer to frames that were never decoded::

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
from heapq import heappop, heappush

from laps_server.video.av_file.decoded_frame import DecodedFrame
from laps_server.video.av_file.video_file import VideoFile
from laps_server.video.route import EntryPoint, Route
from laps_server.video.timestamps import TimestampsUnreliable

# Key frames further back at each try; None is the start of the file.
STEPS_BACK: tuple[int | None, ...] = (0, 1, 4, None)


class Sweep:
    """One pass over a video for chosen frames; ``keep`` gets each of them once, in order.

    Entering over and over is bounded by ``max_packets`` decoded.
    """

    def __init__(
        self, video: VideoFile, route: Route, keep: Callable[[int, DecodedFrame], None], *, max_packets: int
    ) -> None:
        self._video = video
        self._route = route
        self._keep = keep
        self._decoded = 0
        self._allowed = max_packets
        self._jumps = True
        self._frames: Iterator[DecodedFrame] = iter(())  # what comes from the place that decoding has reached

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
                self._frames = iter(())
            if not self._take(pts):
                self._enter_for(pts)

    def _enter_for(self, pts: int) -> None:
        for back in STEPS_BACK:
            entry = self._route.enter(pts, back)
            self._frames = self._checked(entry)
            if self._take(pts):
                self._jumps = back is not None
                return
            if entry.is_start_of_file:
                break
        raise TimestampsUnreliable(f"the frame at {pts} does not come out of the decoder")

    def _take(self, pts: int) -> bool:
        """Decode up to the frame at ``pts`` and keep it; false where it cannot be had from here."""
        for frame in self._frames:
            if frame.pts == pts:
                self._keep(pts, frame)
                return True
        return False

    def _checked(self, entry: EntryPoint) -> Iterator[DecodedFrame]:
        """The frames from an entry point on, until one is not what went in."""
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
            for frame in self._video.decode(packet):
                if frame.pts is not None and frame.pts < entry.start_pts:
                    continue
                if not due or heappop(due) != frame.pts or not (started or _may_begin(frame, entry)):
                    return
                started = True
                yield frame


def _may_begin(frame: DecodedFrame, entry: EntryPoint) -> bool:
    return frame.pts == entry.start_pts and (frame.can_begin_decoding or entry.is_start_of_file)
