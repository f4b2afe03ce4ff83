"""Place clips by a container's index, so that only the packets around them are read.

Either the index counts the video's frames, or they come at a steady rate and a frame's number follows from its time.
Whatever is read on the way has to agree; :class:`TimestampsUnreliable` is raised where it does not.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from laps_server.arrays import IntArray
from laps_server.video.av_file.video_file import VideoFile
from laps_server.video.clip_plan import ClipPlan
from laps_server.video.durations import sampled_frame
from laps_server.video.frame_counter import MAX_HELD
from laps_server.video.frame_numbering import FrameNumbering
from laps_server.video.index_summary import IndexSummary
from laps_server.video.sampling.rules import RULES
from laps_server.video.sampling.sampling import Clock, Sampling
from laps_server.video.sampling.windowed import Window, WindowedRule, window_members
from laps_server.video.seek_route import SeekRoute
from laps_server.video.timestamps import END_OF_TIME, TimestampsUnreliable
from laps_server.video.video_start import VideoStart

MAX_STAMPS = 4096  # entries of an index that are checked against a steady rate
MAX_GAP_FRAMES = 600  # between two frames of a clip: beyond it the packets in between are not worth reading


class IndexPlanner:
    """Plans the clips of a video that is one segment and whose container can be searched.

    Attributes:
        index: what the index says where the header agrees with it, else None.
        route: the way to the frames of the plans.
    """

    def __init__(
        self, video: VideoFile, start: VideoStart, *, first_pts: int, sampling: Sampling, clock: Clock
    ) -> None:
        self._video = video
        self._start = start
        self._first_pts = first_pts
        self._sampling = sampling
        self._rule = RULES[sampling.rule]
        self._clock = clock
        self.index = self._confirmed_index()
        self.route = SeekRoute(video, first_pts, numbered=self.index is not None)

    def _confirmed_index(self) -> IndexSummary | None:
        """The index where the header's count and duration are what it says; None where one of them says otherwise."""
        start = self._start
        count, duration = start.frames_from_header, start.duration_from_header
        index = self._video.index.summary() if self._video.headers.container == "mp4" and start.starts_whole else None
        if index is None or count is None or duration is None or not index.step:
            return None
        return index if index.agrees(count=count, duration=duration) else None

    def plan_by_index(self, index: IndexSummary) -> ClipPlan:
        """Clips of the frames that ``index`` counts, by the model's rule."""
        windows = self._rule.windows
        if windows is not None:
            return self._plan_by_windows(windows, index)
        return self.plan_by_numbers(self._numbering_by_index(index), index.length, index.span)

    def _plan_by_windows(self, rule: WindowedRule, index: IndexSummary) -> ClipPlan:
        """Clips taken from windows of time; timestamps are read around the window of each clip alone."""
        duration = self._start.duration_from_header or 0
        rate = self._clock.rate(index.length, index.span)
        numbers: dict[int, int] = {}
        rows = []
        for window in rule.windows(index.length, duration, rate, self._sampling):
            lo, hi = window.lo + self._first_pts, window.hi + self._first_pts
            near = self.route.around(lo, hi)
            if not near.timestamps:
                raise TimestampsUnreliable("no frame where the first one decoded")
            members = window_members(near.timestamps, Window(lo, hi))
            picked = members.start + rule.positions(len(members), rate, self._sampling)
            rows.append(np.asarray(near.timestamps, dtype=np.int64)[picked])
            if near.first_number is not None:
                numbers.update({near.timestamps[i]: near.first_number + int(i) for i in picked})
        end = self.route.ended_at
        if end is not None and index.span - (end - self._first_pts) > MAX_HELD * index.step:
            raise TimestampsUnreliable("the file ends before its index does")
        return ClipPlan.of(
            np.stack(rows), lambda key: sampled_frame(self._video, numbers.get(key), key - self._first_pts)
        )

    def _numbering_by_index(self, index: IndexSummary) -> FrameNumbering:
        """Frames as far apart as the entries of the index; its times are those of decoding and say nothing more."""
        time_base = self._video.time_base
        return FrameNumbering(self._first_pts, 1 / (index.step * time_base), time_base)

    def numbering_by_rate(self, longest_s: float) -> tuple[FrameNumbering, int, int]:
        """The numbering of a steady rate that fits all frames, their count, and when the last one is shown."""
        video, first_pts = self._video, self._first_pts
        rate = video.headers.rate
        if rate is None:
            raise TimestampsUnreliable("no rate to number frames by")
        numbering = FrameNumbering(first_pts, rate, video.time_base)
        # The end of the file, and entries all over the index, have to lie where the rate puts them.
        end = first_pts + int(longest_s / video.time_base)
        tail = self.route.around(end, END_OF_TIME).timestamps
        entries = len(video.index)
        stamps = [video.index.timestamp(i) for i in range(0, entries, 1 + entries // MAX_STAMPS)]
        if not (numbering.is_usable and tail and tail[-1] >= first_pts and len(stamps) > 1):
            raise TimestampsUnreliable("no end or no index to number frames by")
        if not (numbering.is_regular(tail) and numbering.fits(stamps)):
            raise TimestampsUnreliable("frames do not come at a steady rate")
        return numbering, numbering.number(tail[-1]) + 1, tail[-1] - first_pts

    def plan_by_numbers(self, numbering: FrameNumbering, count: int, span: int) -> ClipPlan:
        """Clips of ``count`` numbered frames, the last one ``span`` after the first.

        Timestamps are read around each clip alone, and around each part of one whose frames lie far apart.
        """
        if not numbering.is_usable:
            raise TimestampsUnreliable("frames are too close to each other to be told apart")
        clips = self._rule.numbers(count, self._clock.rate(count, span), self._sampling)  # [V_t, T]
        rows = []
        for clip in clips:
            numbers, places = np.unique(clip, return_inverse=True)
            runs = np.split(numbers, np.flatnonzero(np.diff(numbers) > MAX_GAP_FRAMES) + 1)
            stamps = np.concatenate([self._stamps(numbering, run) for run in runs])
            rows.append(stamps[places])
        keys = np.stack(rows)  # [V_t, T]
        return ClipPlan.of(keys, lambda key: sampled_frame(self._video, numbering.number(key), key - numbering.origin))

    def _stamps(self, numbering: FrameNumbering, numbers: IntArray) -> npt.NDArray[np.int64]:
        """Timestamps of the frames of increasing ``numbers``."""
        near = self.route.around(*numbering.span(int(numbers[0]), int(numbers[-1]))).timestamps
        offsets = numbers - numbering.number(near[0]) if near else numbers
        if not numbering.is_regular(near) or offsets[0] < 0 or offsets[-1] >= len(near):
            raise TimestampsUnreliable("frames do not come at a steady rate")
        return np.asarray(near, dtype=np.int64)[offsets]
