"""How long a video is: as its header declares, as its frames show, and where the two disagree.

Time counts from the first frame that decodes, in stream time base units.
"""

from __future__ import annotations

from array import array
from dataclasses import replace
from fractions import Fraction

from laps_server.errors import VideoCorrupt
from laps_server.sampled_frame import SampledFrame
from laps_server.video.av_file.video_file import VideoFile
from laps_server.video.index_summary import lasts
from laps_server.video.sampling.sampling import RATE_SHARE
from laps_server.video.timestamps import END_OF_TIME
from laps_server.video.video_start import VideoStart
from laps_server.video_info import VideoInfo

DEFAULT_FPS = 25
# A stream may end this much before its declared end without being called cut.
ENDS_EARLY_S = 0.5
ENDS_EARLY_SHARE = 0.05


def even_times(video: VideoFile, start: VideoStart, count: int) -> array[int]:
    """Times of ``count`` frames that have none of their own: even steps over the declared duration."""
    if start.frames_from_header is not None and start.duration_from_header is not None:
        step = start.duration_from_header / count
    else:
        step = float(1 / ((video.headers.rate or DEFAULT_FPS) * video.time_base))
    if step * count > END_OF_TIME:
        raise VideoCorrupt("the video's timestamps are beyond all time", hint="its headers are damaged")
    return array("q", (round(number * step) for number in range(count)))


def sampled_frame(video: VideoFile, index: int | None, time: int) -> SampledFrame:
    """Frame number ``index``, shown at ``time``."""
    return SampledFrame(index=index, pts=time, time_s=float(time * video.time_base))


def declared_ticks(video: VideoFile, info: VideoInfo) -> int | None:
    """How long the video is by its header, in time base units; None where none is declared for the video alone."""
    return None if info.duration_s is None else round(info.duration_s / video.time_base)


def reached_s(video: VideoFile, last: int) -> float:
    """Seconds at which the last frame, shown at ``last``, ends; without a frame rate, at which it begins."""
    return float(last * video.time_base + (1 / video.headers.rate if video.headers.rate is not None else 0))


def end_of(last: int, count: int) -> Fraction:
    """When ``count`` frames end if the last one, shown at ``last``, lasts as long as the others."""
    return Fraction(last * count, count - 1) if count > 1 else Fraction(last)


def found_facts(video: VideoFile, info: VideoInfo, *, last: int, count: int) -> VideoInfo:
    """``info``, as declared, with what was found: ``count`` frames, the last shown at ``last``.

    Rate and duration stay as declared where they are close to what was found.
    """
    if count < 2 or last <= 0:
        return replace(info, frame_count=count)
    found_rate = (count - 1) / (last * float(video.time_base))
    rate = info.fps
    if rate is None or abs(rate - found_rate) > RATE_SHARE * found_rate:
        rate = found_rate
    duration_s = info.duration_s
    ticks = declared_ticks(video, info)
    if duration_s is None or ticks is None or ticks <= last or not lasts(last, count, ticks):
        duration_s = float(end_of(last, count) * video.time_base)
    return replace(info, frame_count=count, fps=rate, duration_s=duration_s)


def disagreement(video: VideoFile, start: VideoStart, *, last: int, count: int) -> str | None:
    """The warning where ``count`` frames, the last at ``last``, are much shorter or longer than declared, else None."""
    ticks = declared_ticks(video, start.info)
    if ticks is None:
        return None
    declared_s = float(ticks * video.time_base)
    found_s = float(end_of(last, count) * video.time_base)
    if count == 1 and video.headers.rate is not None:
        found_s += float(1 / video.headers.rate)
    # In MP4 some declared durations hold the time before the first frame, an empty edit, and others do not.
    late_s = float(max(0, start.first_pts or 0) * video.time_base) if video.headers.container == "mp4" else 0.0
    if declared_s - found_s - late_s > ENDS_EARLY_S + ENDS_EARLY_SHARE * declared_s:
        return f"the video ends at {found_s:.1f} s of the {declared_s:.1f} s that its header declares"
    if found_s - declared_s > ENDS_EARLY_S + ENDS_EARLY_SHARE * found_s:
        return f"the video goes on until {found_s:.1f} s, beyond the {declared_s:.1f} s that its header declares"
    return None
