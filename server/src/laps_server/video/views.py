"""Which frames of this very video its views use, and the way to them.

Headers decide the rule of sampling, packets give timestamps, the sweep fetches pictures; where timestamps and
pictures disagree, frames are counted by decoding from the start.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from laps_server.clips import IntArray, SampledFrame, VideoInfo
from laps_server.video.clock import counted_times, end_warning, read_opening, sampled_frame
from laps_server.video.decode import Picture, VideoFile
from laps_server.video.grid import Grid
from laps_server.video.limits import MediaLimits
from laps_server.video.sampling import (
    Sampling,
    Window,
    clip_numbers,
    clip_positions,
    clips_of,
    time_windows,
    window_members,
)
from laps_server.video.seek import SeekRoute
from laps_server.video.straight import decode_counting
from laps_server.video.sweep import Route, Sweep, WalkedRoute
from laps_server.video.timeline import END_OF_TIME, Untrusted, Walk, walk

Keep = Callable[[int, Picture], None]
# Up to here all packets are counted even where an index would allow seeking: it costs next to nothing.
WALK_SECONDS = 120
WALK_BYTES = 64 * 1024 * 1024
MAX_STAMPS = 4096  # entries of an index that are checked against a steady rate


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


class Sampler:
    """Finds and fetches the frames of one video's clips.

    Attributes:
        info: the video's facts.
        warnings: what the client should know about the result, once :meth:`run` is through.
    """

    def __init__(self, video: VideoFile, sampling: Sampling, limits: MediaLimits) -> None:
        self._video = video
        self._sampling = sampling
        self._limits = limits
        opening = read_opening(video)
        self._opening = opening
        self._count = opening.frames_from_header
        self._duration = opening.duration_from_header
        self._first_pts = opening.first_pts
        self.info: VideoInfo = opening.info
        self.warnings: list[str] = []

    def run(self, keep: Keep, drop_all: Callable[[], None]) -> Plan:
        """Fetch every frame that a clip uses; ``keep`` gets each under its key in the plan.

        A way that turns out untrustworthy is left for the next one; ``drop_all`` tells that what came of it is
        of no use.
        """
        guess: int | None = None
        if self._first_pts is not None:
            with suppress(Untrusted):
                return self._by_index(self._first_pts, keep)
            self.warnings.clear()
            drop_all()
            try:
                walked = walk(self._video, self._first_pts, self._limits)
                guess = len(walked.timestamps)
                return self._by_walk(walked, keep)
            except Untrusted as reason:
                guess = reason.packets or guess
            self.warnings.clear()
            drop_all()
        self.warnings.append("timestamps are unusable: frames were counted while decoding the whole video")
        return self._by_counting(guess, keep, drop_all)

    # By the container's index ------------------------------------------------------------------------

    def _by_index(self, first_pts: int, keep: Keep) -> Plan:
        if self._video.container == "mp4" and self._count is not None and self._duration is not None:
            return self._by_windows(first_pts, self._count, self._duration, keep)
        if self._video.container in ("mp4", "matroska") and self._is_long():
            return self._by_grid(first_pts, keep)
        raise Untrusted("no index to go by")

    def _is_long(self) -> bool:
        """Whether counting all packets costs more than seeking."""
        seconds = self._video.duration_s
        return seconds is not None and (seconds > WALK_SECONDS or self._video.size_bytes > WALK_BYTES)

    def _by_windows(self, first_pts: int, count: int, duration: int, keep: Keep) -> Plan:
        numbered = self._opening.starts_whole and self._video.index_is_complete
        route = SeekRoute(self._video, first_pts, numbered=numbered)
        numbers: dict[int, int] = {}
        rows = []
        for window in time_windows(count, duration, self._sampling):
            lo, hi = window.lo + first_pts, window.hi + first_pts
            near = route.around(lo, hi)
            if not near.timestamps:
                raise Untrusted("no frame where the first one decoded")
            members = window_members(near.timestamps, Window(lo, hi))
            picked = members.start + clip_positions(len(members), self._sampling)
            rows.append(np.asarray(near.timestamps, dtype=np.int64)[picked])
            if near.first_number is not None:
                numbers.update({near.timestamps[i]: near.first_number + int(i) for i in picked})
            if near.ended:
                self._note_end(near.timestamps[-1] - first_pts)
        self._note_length(count)
        plan = Plan.of(np.stack(rows), lambda key: self._frame(numbers.get(key), key - first_pts))
        self._fetch(route, plan, keep)
        return plan

    def _by_grid(self, first_pts: int, keep: Keep) -> Plan:
        rate, seconds = self._video.rate, self._video.duration_s
        if rate is None or seconds is None:
            raise Untrusted("no rate or no duration to number frames by")
        grid = Grid(first_pts, rate, self._video.time_base)
        route = SeekRoute(self._video, first_pts, numbered=False)
        end = first_pts + int(seconds / self._video.time_base)
        tail = route.around(end, END_OF_TIME).timestamps
        entries = self._video.index_length
        stamps = [self._video.index_timestamp(i) for i in range(0, entries, 1 + entries // MAX_STAMPS)]
        if not (grid.is_usable and tail and tail[-1] >= first_pts and len(stamps) > 1):
            raise Untrusted("no end or no index to number frames by")
        if not (grid.is_regular(tail) and grid.holds(stamps)):
            raise Untrusted("frames do not come at a steady rate")
        count = grid.number(tail[-1]) + 1
        clips = clip_numbers(count, self._sampling)  # [V_t, T]
        keys = np.empty(clips.shape, dtype=np.int64)
        for view, numbers in enumerate(clips):
            near = route.around(*grid.span(int(numbers.min()), int(numbers.max()))).timestamps
            offsets = numbers - grid.number(near[0]) if near else numbers
            if not grid.is_regular(near) or offsets.min() < 0 or offsets.max() >= len(near):
                raise Untrusted("frames do not come at a steady rate")
            keys[view] = np.asarray(near, dtype=np.int64)[offsets]
        self._note_length(count)
        self._note_end(tail[-1] - first_pts)
        plan = Plan.of(keys, lambda key: self._frame(grid.number(key), key - first_pts))
        self._fetch(route, plan, keep)
        return plan

    # By all packets ----------------------------------------------------------------------------------

    def _by_walk(self, walked: Walk, keep: Keep) -> Plan:
        start = walked.timestamps[0]
        relative = array("q", (stamp - start for stamp in walked.timestamps))
        clips = clips_of(relative, self._count, self._duration, self._sampling)
        keys = np.asarray(walked.timestamps, dtype=np.int64)[clips]  # [V_t, T]
        plan = Plan.of(keys, lambda key: self._frame(walked.number_of(key), key - start))
        self._note_length(len(relative))
        self._note_end(relative[-1])
        if walked.cut_short:
            self.warnings.append(f"only the first {self._limits.max_packets} packets were looked at")
        self._fetch(WalkedRoute(self._video, walked), plan, keep)
        return plan

    # By all pictures ---------------------------------------------------------------------------------

    def _by_counting(self, guess: int | None, keep: Keep, drop_all: Callable[[], None]) -> Plan:
        """Count frames by decoding them all; a wrong guess of their number costs a second pass."""
        limit = self._limits.max_frames
        count = guess or self._count or decode_counting(self._video, (), keep, max_frames=limit)
        count = max(1, min(count, limit))
        while True:
            plan, last = self._counted_plan(count)
            found = decode_counting(self._video, frozenset(plan.keys), keep, max_frames=limit)
            if found == count:
                break
            if found == 0:
                raise self._video.explain_nothing()
            count = found
            drop_all()
        self._note_length(count)
        self._note_end(last)
        if count == limit:
            self.warnings.append(f"only the first {limit} frames were looked at")
        return plan

    def _counted_plan(self, count: int) -> tuple[Plan, int]:
        """The plan for ``count`` frames and the timestamp of the last one, in even steps from the first."""
        stamps = counted_times(self._video, self._opening, count)
        clips = clips_of(stamps, self._count, self._duration, self._sampling)
        return Plan.of(clips, lambda key: self._frame(key, stamps[key])), stamps[-1]

    def _fetch(self, route: Route, plan: Plan, keep: Keep) -> None:
        Sweep(self._video, route, keep, max_packets=self._limits.max_frames).fetch(plan.keys)

    # What to tell ------------------------------------------------------------------------------------

    def _frame(self, index: int | None, time: int) -> SampledFrame:
        return sampled_frame(self._video, index, time)

    def _note_length(self, count: int) -> None:
        if count < self._sampling.clip_length:
            self.warnings.append(
                f"the video is short: {count} frames for clips of {self._sampling.clip_length}, so frames repeat"
            )

    def _note_end(self, last: int) -> None:
        """Warn where the last frame, at ``last`` after the first, ends long before the declared end."""
        text = end_warning(self._video, last)
        if text is not None and text not in self.warnings:
            self.warnings.append(text)
