"""A video's own time: where it begins, when it ends, and when frames are shown whose timestamps are of no use.

Time counts from the first picture that decodes, in stream time base units.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass

from laps_server.clips import SampledFrame, VideoInfo
from laps_server.errors import VideoCorrupt
from laps_server.video.decode import Picture, VideoFile
from laps_server.video.timeline import END_OF_TIME

DEFAULT_FPS = 25
# A stream may end this much before its declared end without being called cut.
ENDS_EARLY_S = 0.5
ENDS_EARLY_SHARE = 0.05


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
    """Times of ``count`` frames that were counted while decoding: even steps, as the headers tell them."""
    if opening.frames_from_header is not None and opening.duration_from_header is not None:
        step = opening.duration_from_header / opening.frames_from_header
    else:
        step = float(1 / ((video.rate or DEFAULT_FPS) * video.time_base))
    if step * count > END_OF_TIME:
        raise VideoCorrupt("the video's timestamps are beyond all time", hint="its headers are damaged")
    return array("q", (round(number * step) for number in range(count)))


def sampled_frame(video: VideoFile, index: int | None, time: int) -> SampledFrame:
    """Frame number ``index``, shown at ``time``."""
    return SampledFrame(index=index, pts=time, time_s=float(time * video.time_base))


def reached_s(video: VideoFile, last: int) -> float:
    """Seconds at which the last frame, shown at ``last``, ends; at which it begins where there is no frame rate."""
    return float(last * video.time_base + (1 / video.rate if video.rate is not None else 0))


def ends_early(video: VideoFile, last: int) -> bool:
    """Whether the last frame, shown at ``last``, ends long before the declared end."""
    declared, reached = video.duration_s, reached_s(video, last)
    return declared is not None and declared - reached > ENDS_EARLY_S + ENDS_EARLY_SHARE * declared


def end_s(video: VideoFile, last: int) -> float:
    """Seconds at which the video ends: as declared, unless its last frame, shown at ``last``, says otherwise."""
    declared = video.duration_s
    if declared is None or declared <= last * video.time_base or ends_early(video, last):
        return reached_s(video, last)
    return declared


def end_warning(video: VideoFile, last: int) -> str | None:
    """What to tell where the last frame, shown at ``last``, ends long before the declared end."""
    if not ends_early(video, last):
        return None
    return f"the video ends at {reached_s(video, last):.1f} s of the {video.duration_s:.1f} s that its header declares"
