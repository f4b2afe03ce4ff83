"""The last resort and the yardstick: decode from the first packet on and count frames in output order.

It trusts no timestamp, so it is right for any file that decodes. It costs decoding everything up to the last frame
wanted.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator

from laps_server.video.av_file.decoded_frame import DecodedFrame
from laps_server.video.av_file.video_file import VideoFile

MAX_HELD = 20  # frames that a decoder holds back, by the codecs' own limits


class FrameCounter:
    """One pass over a video that numbers its frames as they come out of the decoder.

    Attributes:
        found: frames that came out so far.
        fed: packets that went in, those that show nothing left out.
    """

    def __init__(self, video: VideoFile, *, max_packets: int) -> None:
        self._video = video
        self._max_packets = max_packets
        self._stamps = array("q")
        self._rising = True
        self.found = 0
        self.fed = 0

    @property
    def frames_are_missing(self) -> bool:
        """Whether more packets went in than a decoder holds back: not every one of them gives a frame."""
        return self.fed - self.found > MAX_HELD

    @property
    def last_time(self) -> int | None:
        """When the frame that came out last is shown, from the first; None where timestamps go back."""
        return self._stamps[-1] - self._stamps[0] if self._rising and self._stamps else None

    @property
    def own_times(self) -> array[int] | None:
        """When the frames so far are shown, from the first, as they say themselves; None where timestamps go back."""
        if not self._rising or not self._stamps:
            return None
        return array("q", (stamp - self._stamps[0] for stamp in self._stamps))

    def frames(self) -> Iterator[tuple[int, DecodedFrame]]:
        """Each frame with its number in output order."""
        self._video.rewind()
        packets = self._video.packets()
        draining = False
        while not draining:
            packet = next(packets, None) if self.fed < self._max_packets else None
            draining = packet is None
            if packet is not None and packet.shown:
                self.fed += 1
            for frame in self._video.decode(packet):
                self._note(frame.pts)
                number = self.found
                self.found += 1
                yield number, frame

    def _note(self, stamp: int | None) -> None:
        if stamp is None or (self._stamps and stamp < self._stamps[-1]):
            self._rising = False
        if self._rising and stamp is not None:
            self._stamps.append(stamp)


def count_frames(video: VideoFile, *, max_frames: int, max_packets: int) -> FrameCounter:
    """Decode ``video`` from its start to its end, or up to a limit, and keep none of its frames."""
    count = FrameCounter(video, max_packets=max_packets)
    for _ in count.frames():
        if count.found >= max_frames:
            break
    return count
