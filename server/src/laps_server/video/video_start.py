"""What is known of a video once its first frame is decoded."""

from __future__ import annotations

from dataclasses import dataclass

from laps_server.video.av_file.decoded_frame import DecodedFrame
from laps_server.video.av_file.video_file import VideoFile
from laps_server.video_info import VideoInfo


@dataclass(frozen=True, slots=True)
class VideoStart:
    """What headers declare, and what decoding the first frame told.

    Attributes:
        info: the video's facts.
        first_pts: the container's timestamp of the first frame, None where it has none.
        starts_whole: whether every packet up to the first frame is shown at or after it.
        frames_from_header, duration_from_header: the declared frame count, and duration in time base units, or None.
    """

    info: VideoInfo
    first_pts: int | None
    starts_whole: bool
    frames_from_header: int | None
    duration_from_header: int | None


def read_start(video: VideoFile) -> VideoStart:
    """Decode up to the first frame.

    Raises:
        MediaError: there is none.
    """
    # Before packets are read: some demuxers count as they go and change what they declare.
    frames, duration = video.headers.frame_count, video.headers.duration
    first, starts_whole = _first_frame(video)
    return VideoStart(
        info=video.headers.describe(first),
        first_pts=first.pts,
        starts_whole=starts_whole,
        frames_from_header=frames,
        duration_from_header=duration,
    )


def _first_frame(video: VideoFile) -> tuple[DecodedFrame, bool]:
    """The first frame, and whether the packets up to it are all shown at or after it."""
    packets = video.packets()
    earliest: int | None = None
    whole = True
    while True:
        packet = next(packets, None)
        frames = video.decode(packet)
        if packet is not None:
            whole &= packet.shown
            if packet.pts is not None:
                earliest = packet.pts if earliest is None else min(earliest, packet.pts)
        if frames:
            return frames[0], whole and frames[0].pts == earliest
        if packet is None:
            raise video.why_no_frame()
