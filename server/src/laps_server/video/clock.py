"""A video's own time: where it begins, when it ends, and when frames are shown whose timestamps are of no use.

Time counts from the first picture that decodes, in stream time base units.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, replace
from fractions import Fraction

from laps_server.errors import VideoCorrupt
from laps_server.sampled_frame import SampledFrame
from laps_server.video.container_index import lasts
from laps_server.video.decode import Picture, VideoFile
from laps_server.video.packet_walk import END_OF_TIME
from laps_server.video_info import VideoInfo

DEFAULT_FPS = 25
# A stream may end this much before its declared end without being called cut.
ENDS_EARLY_S = 0.5
ENDS_EARLY_SHARE = 0.05
RATE_SHARE = 0.01  # by which a declared rate may differ from the one that was found


@dataclass(frozen=True, slots=True)
class Opening:
    """What is known of a video once its first picture is decoded.

    Attributes:
        info: the video's facts.
        first_pts: the container's timestamp of the first picture, None where it has none.
        starts_whole: whether every packet up to the first picture is shown at or after it.
        frames_from_header, duration_from_header: the declared frame count, and duration in time base units, or None.
    """

    info: VideoInfo
    first_pts: int | None
    starts_whole: bool
    frames_from_header: int | None
    duration_from_header: int | None


def read_opening(video: VideoFile) -> Opening:
    """Decode up to the first picture.

    Raises:
        MediaError: there is none.
    """
    # Before packets are read: some demuxers count as they go and change what they declare.
    frames, duration = video.frames_from_header, video.duration_from_header
    first, starts_whole = _first_picture(video)
    return Opening(video.describe(first), first.pts, starts_whole, frames, duration)


def _first_picture(video: VideoFile) -> tuple[Picture, bool]:
    packets = video.packets()
    earliest: int | None = None
    whole = True
    while True:
        packet = next(packets, None)
        pictures = video.decode(packet)
        if packet is not None:
            whole &= packet.shown
            if packet.pts is not None:
                earliest = packet.pts if earliest is None else min(earliest, packet.pts)
        if pictures:
            return pictures[0], whole and pictures[0].pts == earliest
        if packet is None:
            raise video.explain_nothing()


def counted_times(video: VideoFile, opening: Opening, count: int) -> array[int]:
    """Times of ``count`` frames of which nothing tells when they are shown: even steps over the declared duration."""
    if opening.frames_from_header is not None and opening.duration_from_header is not None:
        step = opening.duration_from_header / count
    else:
        step = float(1 / ((video.rate or DEFAULT_FPS) * video.time_base))
    if step * count > END_OF_TIME:
        raise VideoCorrupt("the video's timestamps are beyond all time", hint="its headers are damaged")
    return array("q", (round(number * step) for number in range(count)))


def sampled_frame(video: VideoFile, index: int | None, time: int) -> SampledFrame:
    """Frame number ``index``, shown at ``time``."""
    return SampledFrame(index=index, pts=time, time_s=float(time * video.time_base))


def declared(video: VideoFile, info: VideoInfo) -> int | None:
    """How long the video is by its header, in time base units; None where that says nothing of the video alone."""
    return None if info.duration_s is None else round(info.duration_s / video.time_base)


def reached_s(video: VideoFile, last: int) -> float:
    """Seconds at which the last frame, shown at ``last``, ends; at which it begins where there is no frame rate."""
    return float(last * video.time_base + (1 / video.rate if video.rate is not None else 0))


def end_of(last: int, count: int) -> Fraction:
    """When ``count`` frames end, the last of them shown at ``last``, if it lasts as long as the others."""
    return Fraction(last * count, count - 1) if count > 1 else Fraction(last)


def found_facts(video: VideoFile, info: VideoInfo, *, last: int, count: int) -> VideoInfo:
    """``info``, as declared, with what was found: ``count`` frames, the last shown at ``last``.

    Rate and duration stay as declared where they are about what was found.
    """
    if count < 2 or last <= 0:
        return replace(info, frame_count=count)
    found_rate = (count - 1) / (last * float(video.time_base))
    rate = info.fps
    if rate is None or abs(rate - found_rate) > RATE_SHARE * found_rate:
        rate = found_rate
    duration_s = info.duration_s
    ticks = declared(video, info)
    if duration_s is None or ticks is None or ticks <= last or not lasts(last, count, ticks):
        duration_s = float(end_of(last, count) * video.time_base)
    return replace(info, frame_count=count, fps=rate, duration_s=duration_s)


def disagreement(video: VideoFile, opening: Opening, *, last: int, count: int) -> str | None:
    """What to tell where the video is much shorter or longer than declared: ``count`` frames, the last at ``last``."""
    ticks = declared(video, opening.info)
    if ticks is None:
        return None
    declared_s = float(ticks * video.time_base)
    found_s = float(end_of(last, count) * video.time_base)
    if count == 1 and video.rate is not None:
        found_s += float(1 / video.rate)
    # In MP4 the time before the first picture, an empty edit, is a part of some declared durations and not of others.
    late_s = float(max(0, opening.first_pts or 0) * video.time_base) if video.container == "mp4" else 0.0
    if declared_s - found_s - late_s > ENDS_EARLY_S + ENDS_EARLY_SHARE * declared_s:
        return f"the video ends at {found_s:.1f} s of the {declared_s:.1f} s that its header declares"
    if found_s - declared_s > ENDS_EARLY_S + ENDS_EARLY_SHARE * found_s:
        return f"the video goes on until {found_s:.1f} s, beyond the {declared_s:.1f} s that its header declares"
    return None
