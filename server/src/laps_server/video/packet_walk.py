"""When each frame is shown, learned from packets without decoding them.

Reading packets costs input only, a hundredth of decoding them, and it tells what no header does: how many
frames there are, their timestamps and where decoding may begin.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from laps_server.video.decode import VideoFile
from laps_server.video.limits import MediaLimits

END_OF_TIME = 2**62  # in time base units; differences of two timestamps up to here fit in 64 bits


class TimestampsUnreliable(Exception):
    """The file's timestamps and its pictures disagree; only counting decoded frames is safe.

    ``packets`` is the number of shown packets where all were counted: a guess of the number of frames. ``times`` are
    when so many frames are shown, from the first, as far as packets tell; ``shown_times`` says that they are times of
    showing and not of decoding, so that pictures must have the same.
    """

    def __init__(
        self,
        reason: str,
        *,
        packets: int | None = None,
        times: array[int] | None = None,
        shown_times: bool = False,
    ) -> None:
        super().__init__(reason)
        self.packets = packets
        self.times = times
        self.shown_times = shown_times


@dataclass(frozen=True, slots=True)
class PacketWalk:
    """A whole stream's packets, read once.

    Attributes:
        timestamps: increasing presentation times of the shown frames, from the first one that decodes.
        key_times: increasing presentation times of the key frames.
        key_packets: for each key frame, how many packets lie before it in the file.
        cut_short: whether the packet limit ended the walk.
    """

    timestamps: array[int]
    key_times: array[int]
    key_packets: array[int]
    cut_short: bool

    def number_of(self, timestamp: int) -> int:
        """The frame number of a timestamp that is in the walk."""
        return bisect_left(self.timestamps, timestamp)

    def key_before(self, timestamp: int, earlier: int) -> int | None:
        """Position in the key lists of the last key frame at or before ``timestamp``, or ``earlier`` ones up."""
        position = bisect_right(self.key_times, timestamp) - 1 - earlier
        return position if position >= 0 else None


def walk_packets(video: VideoFile, first_pts: int | None, limits: MediaLimits) -> PacketWalk:
    """Read all packets of ``video``, whose first picture is shown at ``first_pts`` if it has a time.

    Raises:
        TimestampsUnreliable: the packets' timestamps tell no order, or the first picture has none.
    """
    video.rewind()
    times, key_times, key_packets = array("q"), array("q"), array("q")
    decoding_times = array("q")
    shown = 0
    trouble: str | None = None
    cut_short = False
    for position, packet in enumerate(video.packets()):
        if packet.shown:
            shown += 1
            if packet.dts is not None:
                decoding_times.append(packet.dts)
            if packet.pts is None:
                trouble = "a packet without a presentation time"
            else:
                times.append(packet.pts)
                if packet.key and key_times and packet.pts <= key_times[-1]:
                    trouble = "key frames out of order"
                elif packet.key:
                    key_times.append(packet.pts)
                    key_packets.append(position)
        if position + 1 >= limits.max_packets:
            cut_short = True
            break
    ordered = np.sort(np.frombuffer(times, dtype=np.int64))
    if trouble is not None or first_pts is None:
        # Frames come out in the order of their times, and no two at once go in: the one in place i is shown in place i.
        in_step = len(decoding_times) == shown > 0 and (np.diff(np.frombuffer(decoding_times, np.int64)) >= 0).all()
        stamps, shown_times = np.frombuffer(decoding_times, np.int64), False
        if len(times) == shown and first_pts is not None:
            stamps, shown_times = ordered[ordered >= first_pts], True
        raise TimestampsUnreliable(
            trouble or "the first picture has no time",
            packets=shown,
            times=_from_the_first(stamps) if in_step else None,
            shown_times=shown_times,
        )
    ordered = ordered[ordered >= first_pts]
    if not len(ordered) or ordered[0] != first_pts or (np.diff(ordered) == 0).any():
        raise TimestampsUnreliable(
            "times repeat or begin elsewhere", packets=shown, times=_from_the_first(ordered), shown_times=True
        )
    if int(ordered[-1]) - first_pts > END_OF_TIME:
        raise TimestampsUnreliable("presentation times span more than all time", packets=shown)
    return PacketWalk(array("q", ordered.tobytes()), key_times, key_packets, cut_short)


def _from_the_first(ordered: npt.NDArray[np.int64]) -> array[int] | None:
    if not len(ordered) or int(ordered[-1]) - int(ordered[0]) > END_OF_TIME:
        return None
    return array("q", (ordered - ordered[0]).tobytes())
