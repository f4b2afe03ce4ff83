"""When each frame is shown, learned from packets without decoding them.

Reading packets costs a hundredth of decoding them. It tells what no header does: how many frames there are, their
timestamps, and where decoding may begin.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from laps_server.video.av_file.video_file import VideoFile
from laps_server.video.limits import MediaLimits
from laps_server.video.timestamps import END_OF_TIME, TimestampsUnreliable


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
        """Position in the key lists of the last key frame at or before ``timestamp``, or so many ``earlier`` ones."""
        position = bisect_right(self.key_times, timestamp) - 1 - earlier
        return position if position >= 0 else None


def walk_packets(video: VideoFile, first_pts: int | None, limits: MediaLimits) -> PacketWalk:
    """Read all packets of ``video``, whose first frame is shown at ``first_pts`` if it has a time.

    Raises:
        TimestampsUnreliable: the packets' timestamps tell no order, or the first frame has none.
    """
    found = _read_packets(video, limits)
    ordered = np.sort(np.frombuffer(found.times, dtype=np.int64))
    if found.trouble is not None or first_pts is None:
        raise _unordered(found, ordered, first_pts)
    ordered = ordered[ordered >= first_pts]
    if not len(ordered) or ordered[0] != first_pts or (np.diff(ordered) == 0).any():
        raise TimestampsUnreliable(
            "times repeat or begin elsewhere", packets=found.shown, times=_from_the_first(ordered), shown_times=True
        )
    if int(ordered[-1]) - first_pts > END_OF_TIME:
        raise TimestampsUnreliable("presentation times span more than all time", packets=found.shown)
    return PacketWalk(
        timestamps=array("q", ordered.tobytes()),
        key_times=found.key_times,
        key_packets=found.key_packets,
        cut_short=found.cut_short,
    )


@dataclass(slots=True)
class _ReadPackets:
    """What packets said as they came; the attributes that :class:`PacketWalk` has too are in file order here.

    Attributes:
        shown: packets that show a frame.
        times, decoding_times: presentation and decoding times of those that have them.
        trouble: why presentation times are of no use, None where they are.
    """

    shown: int = 0
    times: array[int] = field(default_factory=lambda: array("q"))
    decoding_times: array[int] = field(default_factory=lambda: array("q"))
    key_times: array[int] = field(default_factory=lambda: array("q"))
    key_packets: array[int] = field(default_factory=lambda: array("q"))
    trouble: str | None = None
    cut_short: bool = False


def _read_packets(video: VideoFile, limits: MediaLimits) -> _ReadPackets:
    video.rewind()
    found = _ReadPackets()
    for position, packet in enumerate(video.packets()):
        if packet.shown:
            found.shown += 1
            if packet.dts is not None:
                found.decoding_times.append(packet.dts)
            if packet.pts is None:
                found.trouble = "a packet without a presentation time"
            else:
                found.times.append(packet.pts)
                if packet.key and found.key_times and packet.pts <= found.key_times[-1]:
                    found.trouble = "key frames out of order"
                elif packet.key:
                    found.key_times.append(packet.pts)
                    found.key_packets.append(position)
        if position + 1 >= limits.max_packets:
            found.cut_short = True
            break
    return found


def _unordered(found: _ReadPackets, ordered: npt.NDArray[np.int64], first_pts: int | None) -> TimestampsUnreliable:
    """Why packets tell no order, with the times that can still be had from them.

    Frames come out in the order of their times, and no two go in at once: where decoding times never fall, the frame
    whose packet has place i in that order is shown in place i.
    """
    decoding_times = np.frombuffer(found.decoding_times, np.int64)
    in_step = len(decoding_times) == found.shown > 0 and (np.diff(decoding_times) >= 0).all()
    stamps, shown_times = decoding_times, False
    if len(found.times) == found.shown and first_pts is not None:
        stamps, shown_times = ordered[ordered >= first_pts], True
    return TimestampsUnreliable(
        found.trouble or "the first picture has no time",
        packets=found.shown,
        times=_from_the_first(stamps) if in_step else None,
        shown_times=shown_times,
    )


def _from_the_first(ordered: npt.NDArray[np.int64]) -> array[int] | None:
    if not len(ordered) or int(ordered[-1]) - int(ordered[0]) > END_OF_TIME:
        return None
    return array("q", (ordered - ordered[0]).tobytes())
