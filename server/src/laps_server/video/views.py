"""Which frames of this very video its views use, and the way to them.

Headers decide the rule of sampling, packets give timestamps, the sweep fetches pictures; where timestamps and
pictures disagree, frames are counted by decoding from the start.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from laps_server.clips import IntArray, SampledFrame, VideoInfo
from laps_server.errors import VideoCorrupt
from laps_server.video.decode import Picture, VideoFile
from laps_server.video.limits import MediaLimits
from laps_server.video.sampling import (
    Sampling,
    clip_numbers,
    clip_positions,
    time_windows,
    window_members,
)
from laps_server.video.straight import decode_counting
from laps_server.video.sweep import Sweep, WalkedRoute
from laps_server.video.timeline import Untrusted, Walk, walk

Keep = Callable[[int, Picture], None]
DEFAULT_FPS = 25


@dataclass(frozen=True, slots=True)
class Plan:
    """The frames of each clip: ``keys`` name distinct frames in presentation order, ``clips`` is ``[V_t, T]``."""

    frames: tuple[SampledFrame, ...]
    keys: tuple[int, ...]
    clips: IntArray

    @classmethod
    def of(cls, clip_keys: IntArray, describe: Callable[[int], SampledFrame]) -> Plan:
        """Gather the distinct keys of ``clip_keys`` ``[V_t, T]``."""
        keys, positions = np.unique(clip_keys, return_inverse=True)
        names = tuple(int(key) for key in keys)
        return cls(
            frames=tuple(describe(key) for key in names),
            keys=names,
            clips=positions.reshape(clip_keys.shape).astype(np.intp),
        )


def clips_of(timestamps: Sequence[int], count: int | None, duration: int | None, sampling: Sampling) -> IntArray:
    """``[V_t, T]`` frame numbers by the rule that the headers allow.

    ``timestamps`` are all of the stream's, from 0; ``count`` and ``duration`` what the headers say.
    """
    if count is None or duration is None:
        return clip_numbers(len(timestamps), sampling)
    rows = []
    for window in time_windows(count, duration, sampling):
        members = window_members(timestamps, window)
        rows.append(members.start + clip_positions(len(members), sampling))
    return np.stack(rows)  # [V_t, T]


def first_picture(video: VideoFile) -> Picture:
    """The first picture that decodes."""
    packets = video.packets()
    while True:
        packet = next(packets, None)
        pictures = video.decode(packet)
        if pictures:
            return pictures[0]
        if packet is None:
            raise VideoCorrupt("not one frame of the video could be decoded", hint="was the whole file sent?")


class Sampler:
    """Finds and fetches the frames of one video's clips."""

    def __init__(self, video: VideoFile, sampling: Sampling, limits: MediaLimits) -> None:
        self._video = video
        self._sampling = sampling
        self._limits = limits
        first = first_picture(video)
        self._first_pts = first.pts
        self.info: VideoInfo = video.describe(first)

    def run(self, keep: Keep) -> Plan:
        """Fetch every frame that a clip uses; ``keep`` gets each once, under its key in the plan."""
        packets: int | None = None
        try:
            if self._first_pts is None:
                raise Untrusted("the first frame has no presentation time")
            walked = walk(self._video, self._first_pts, self._limits)
            packets = len(walked.timestamps)
            return self._by_walk(walked, keep)
        except Untrusted:
            return self._by_counting(packets, keep)

    def _by_walk(self, walked: Walk, keep: Keep) -> Plan:
        start = walked.timestamps[0]
        relative = [stamp - start for stamp in walked.timestamps]
        clips = clips_of(relative, self._video.frames_from_header, self._video.duration_from_header, self._sampling)
        keys = np.asarray(walked.timestamps, dtype=np.int64)[clips]  # [V_t, T]
        plan = Plan.of(keys, lambda key: self._frame(walked.number_of(key), key - start))
        Sweep(self._video, WalkedRoute(self._video, walked), plan.keys, keep).run()
        return plan

    def _by_counting(self, guess: int | None, keep: Keep) -> Plan:
        """Count frames by decoding them all; a wrong guess of their number costs a second pass."""
        count = guess or self._video.frames_from_header
        if count is None:
            count = decode_counting(self._video, (), keep, last=None, max_frames=self._limits.max_frames)
        while True:
            plan = self._counted_plan(count)
            found = decode_counting(
                self._video, frozenset(plan.keys), keep, last=None, max_frames=self._limits.max_frames
            )
            if found == count:
                return plan
            if found == 0:
                raise VideoCorrupt("not one frame of the video could be decoded")
            count = found

    def _counted_plan(self, count: int) -> Plan:
        declared, duration = self._video.frames_from_header, self._video.duration_from_header
        step = float(1 / ((self._video.rate or DEFAULT_FPS) * self._video.time_base))
        if declared is not None and duration is not None:
            step = duration / declared
        stamps = [round(number * step) for number in range(count)]
        clips = clips_of(stamps, declared, duration, self._sampling)
        return Plan.of(clips, lambda key: self._frame(key, stamps[key]))

    def _frame(self, index: int | None, pts: int) -> SampledFrame:
        return SampledFrame(index=index, pts=pts, time_s=float(pts * self._video.time_base))
