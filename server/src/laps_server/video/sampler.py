"""Which frames of this very video its segments use, and the ways to them.

A video is cut into windows of time; one window may hold all of it. Headers decide the rule of sampling, packets give
timestamps, a sweep fetches pictures. There are three ways, and where one turns out to be untrustworthy the next takes
over with what is left::

    by the index    one window holds the video, and its container can be searched: only what clips need is read
    by the walk     all packets are read once without decoding, then a sweep goes from segment to segment
    by counting     timestamps and pictures disagree: every picture is decoded and counted

What was handed out of earlier segments stays right, because every picture of it was checked. A segment that was begun
begins once more.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from typing import Literal

import numpy as np

from laps_server.errors import BadParameter
from laps_server.part import MediaWarning, Segment
from laps_server.sampled_frame import SampledFrame
from laps_server.video.clip_plan import ClipPlan, WholeClips
from laps_server.video.clock import counted_times, disagreement, found_facts, reached_s, read_opening, sampled_frame
from laps_server.video.container_index import ContainerIndex
from laps_server.video.decode import Picture, VideoFile
from laps_server.video.frame_counter import MAX_HELD, FrameCounter, count_frames
from laps_server.video.frame_numbering import FrameNumbering
from laps_server.video.limits import MediaLimits
from laps_server.video.packet_walk import END_OF_TIME, PacketWalk, TimestampsUnreliable, walk_packets
from laps_server.video.sampling import Sampling, Window, clip_positions, steady_numbers, time_windows, window_members
from laps_server.video.seek_route import SeekRoute
from laps_server.video.segments import count_windows, segment_clips, shortest_length_s, split
from laps_server.video.sweep import Route, Sweep, WalkedRoute

Keep = Callable[[int, Picture], None]
# Up to here all packets are counted even where an index would allow seeking: it costs next to nothing.
WALK_SECONDS = 120
WALK_BYTES = 64 * 1024 * 1024
MAX_STAMPS = 4096  # entries of an index that are checked against a steady rate


class Sampler:
    """Finds and fetches the frames of one video's clips, segment by segment.

    Attributes:
        info: the video's facts.
    """

    def __init__(
        self, video: VideoFile, sampling: Sampling, window_s: Fraction, limits: MediaLimits, *, early: bool
    ) -> None:
        self._video = video
        self._sampling = sampling
        self._window_s = window_s
        self._early = early
        self._limits = limits
        self._opening = read_opening(video)
        self._count = self._opening.frames_from_header
        self._duration = self._opening.duration_from_header
        self._warnings: list[MediaWarning] = []
        self._disagreement: tuple[MediaWarning, ...] = ()  # of the header with what was found
        self._done = 0  # segments that were handed out to their end
        self._next_index = 0  # windows before this one are through
        self.info = self._opening.info

    def run(self, keep: Keep, drop_all: Callable[[], None]) -> Iterator[WholeClips]:
        """Yield clips once ``keep`` got all of their frames, under their keys in the plan.

        ``drop_all`` tells that what was kept for clips still to come is of no use.

        Raises:
            BadParameter: the video has more windows of this length than the limit.
        """
        first_pts = self._opening.first_pts
        if first_pts is not None:
            with suppress(TimestampsUnreliable):
                yield from self._by_index(first_pts, keep)
                return
            self._begin_anew(drop_all)
        guess: int | None = None
        times: array[int] | None = None
        # AVI numbers its entries in the order of decoding: packets have times there, and none of showing.
        compare = self._video.container != "avi"
        try:
            walked = walk_packets(self._video, first_pts, self._limits)
            times = _relative(walked)
            yield from self._by_walk(walked, times, keep)
            return
        except TimestampsUnreliable as reason:
            if times is None:
                guess, times, compare = reason.packets, reason.times, compare and reason.shown_times
        self._begin_anew(drop_all)
        yield from self._by_counting(guess, times, keep, drop_all, compare=compare)

    def _begin_anew(self, drop_all: Callable[[], None]) -> None:
        """What was fetched, noted and found for segments still to come is of no use."""
        drop_all()
        self._warnings = [warning for warning in self._warnings if self._done and warning.scope == "video"]
        self._disagreement = ()
        self.info = self._opening.info

    # By the container's index ------------------------------------------------------------------------

    def _by_index(self, first_pts: int, keep: Keep) -> Iterator[WholeClips]:
        video, duration_s = self._video, self._video.duration_s
        if duration_s is None or duration_s > self._window_s:
            raise TimestampsUnreliable("more than one window, or nobody knows")
        index = self._confirmed_index()
        route = SeekRoute(video, first_pts, numbered=index is not None)
        if index is not None and self._sampling.rule == "laps_uniform":
            plan, count, last = self._windows_plan(route, first_pts, index), index.length, index.span
        elif index is not None:
            # Its times are those of decoding: only how far apart frames lie is taken from it.
            grid = FrameNumbering(first_pts, 1 / (index.step * video.time_base), video.time_base)
            plan, count, last = self._grid_plan(route, grid, index.length), index.length, index.span
        elif video.container in ("mp4", "matroska") and self._is_long(duration_s):
            grid, count, last = self._grid_of_rate(route, first_pts, duration_s)
            plan = self._grid_plan(route, grid, count)
        else:
            raise TimestampsUnreliable("no index to go by")
        if last * video.time_base >= self._window_s:
            raise TimestampsUnreliable("more than one window, whatever is declared")
        segment = Segment(index=0, start_s=0.0, end_s=self.info.duration_s or duration_s, frames=range(count))
        yield from self._fetched(self._sweep(route, keep), plan, plan.keys, segment, left=1)

    def _confirmed_index(self) -> ContainerIndex | None:
        """The index where the header's count and duration are what it says; None where one of them says otherwise."""
        index = self._video.index if self._video.container == "mp4" and self._opening.starts_whole else None
        if index is None or self._count is None or self._duration is None or not index.step:
            return None
        return index if index.agrees(count=self._count, duration=self._duration) else None

    def _is_long(self, duration_s: float) -> bool:
        """Whether counting all packets costs more than seeking."""
        return duration_s > WALK_SECONDS or self._video.size_bytes > WALK_BYTES

    def _windows_plan(self, route: SeekRoute, first_pts: int, index: ContainerIndex) -> ClipPlan:
        """Timestamps are read around the window of each clip alone."""
        count, duration = index.length, self._duration or 0
        numbers: dict[int, int] = {}
        rows = []
        for window in time_windows(count, duration, self._sampling):
            lo, hi = window.lo + first_pts, window.hi + first_pts
            near = route.around(lo, hi)
            if not near.timestamps:
                raise TimestampsUnreliable("no frame where the first one decoded")
            members = window_members(near.timestamps, Window(lo, hi))
            picked = members.start + clip_positions(len(members), self._sampling)
            rows.append(np.asarray(near.timestamps, dtype=np.int64)[picked])
            if near.first_number is not None:
                numbers.update({near.timestamps[i]: near.first_number + int(i) for i in picked})
        end = route.ended_at
        if end is not None and index.span - (end - first_pts) > MAX_HELD * index.step:
            raise TimestampsUnreliable("the file ends before its index does")
        plan = ClipPlan.of(np.stack(rows), lambda key: self._frame(numbers.get(key), key - first_pts))
        self._note_clips(plan, count)
        return plan

    def _grid_of_rate(self, route: SeekRoute, first_pts: int, duration_s: float) -> tuple[FrameNumbering, int, int]:
        """The grid of a steady rate on which all frames lie, their count, and when the last one is shown."""
        rate = self._video.rate
        if rate is None:
            raise TimestampsUnreliable("no rate to number frames by")
        grid = FrameNumbering(first_pts, rate, self._video.time_base)
        end = first_pts + int(duration_s / self._video.time_base)
        tail = route.around(end, END_OF_TIME).timestamps
        entries = self._video.index_length
        stamps = [self._video.index_timestamp(i) for i in range(0, entries, 1 + entries // MAX_STAMPS)]
        if not (grid.is_usable and tail and tail[-1] >= first_pts and len(stamps) > 1):
            raise TimestampsUnreliable("no end or no index to number frames by")
        if not (grid.is_regular(tail) and grid.holds(stamps)):
            raise TimestampsUnreliable("frames do not come at a steady rate")
        count = grid.number(tail[-1]) + 1
        last = tail[-1] - first_pts
        self._found(last=last, count=count)
        return grid, count, last

    def _grid_plan(self, route: SeekRoute, grid: FrameNumbering, count: int) -> ClipPlan:
        """Frames are numbered by their places on a grid; timestamps are read around each clip alone."""
        if not grid.is_usable:
            raise TimestampsUnreliable("frames are too close to each other to be told apart")
        clips = steady_numbers(count, self._sampling)  # [V_t, T]
        keys = np.empty(clips.shape, dtype=np.int64)
        for view, numbers in enumerate(clips):
            near = route.around(*grid.span(int(numbers.min()), int(numbers.max()))).timestamps
            offsets = numbers - grid.number(near[0]) if near else numbers
            if not grid.is_regular(near) or offsets.min() < 0 or offsets.max() >= len(near):
                raise TimestampsUnreliable("frames do not come at a steady rate")
            keys[view] = np.asarray(near, dtype=np.int64)[offsets]
        plan = ClipPlan.of(keys, lambda key: self._frame(grid.number(key), key - grid.origin))
        self._note_clips(plan, count)
        return plan

    # By all packets ----------------------------------------------------------------------------------

    def _by_walk(self, walked: PacketWalk, times: array[int], keep: Keep) -> Iterator[WholeClips]:
        if walked.cut_short:
            self._warn(f"only the first {self._limits.max_packets} packets were looked at")
        else:
            self._found(last=times[-1], count=len(times))
        segments = self._split(times)
        sweep = self._sweep(WalkedRoute(self._video, walked), lambda pts, picture: keep(walked.number_of(pts), picture))
        for place, segment in enumerate(segments):
            plan = self._plan(segment, times)
            stamps = [walked.timestamps[number] for number in plan.keys]
            self._note_clips(plan, len(segment.frames))
            sweep.allow(self._limits.max_frames + segment.frames.start)
            yield from self._fetched(sweep, plan, stamps, segment, left=len(segments) - place)

    # By all pictures ---------------------------------------------------------------------------------

    def _by_counting(
        self, guess: int | None, times: array[int] | None, keep: Keep, drop_all: Callable[[], None], *, compare: bool
    ) -> Iterator[WholeClips]:
        """Count frames by decoding them all.

        Args:
            guess: how many there may be; a wrong guess costs another pass.
            times: when so many frames are shown, as far as packets tell.
            compare: whether pictures have to have those very times.
        """
        limit = self._countable()
        if times is None and (guess or self._count) is None:
            counted = count_frames(self._video, max_frames=limit, max_packets=self._limits.max_packets)
            guess, times = counted.found, counted.own_times
        count = max(1, min(len(times) if times else guess or self._count or 1, limit))
        sure = False  # whether it was counted
        while True:
            self._note_clock(made_up=times is None)
            times = counted_times(self._video, self._opening, count) if times is None else times[:count]
            segments = self._split(times)
            if not segments:
                return
            counted, complete = yield from self._counted_pass(
                segments, times, keep, limit, sure=sure, compare=compare and not sure
            )
            if counted.found == 0 and self._done == 0:
                raise self._video.explain_nothing()
            if complete or counted.found == 0:
                return
            count, times, sure = counted.found, counted.own_times, True
            self._begin_anew(drop_all)

    def _note_clock(self, *, made_up: bool) -> None:
        """Tell, once, that frames have no times of their own."""
        if made_up and not any("timestamps are unusable" in warning.text for warning in self._warnings):
            since = f" from {float(self._next_index * self._window_s):g} s on" if self._done else ""
            self._warn(f"timestamps are unusable{since}: frames were counted while decoding the whole video")

    def _countable(self) -> int:
        """The most frames that are counted: those of a segment have a limit of their own."""
        limits = self._limits
        frames_of_a_window = self._window_s * (self._video.rate or limits.max_fps)
        return limits.max_packets if frames_of_a_window <= limits.max_frames else limits.max_frames

    def _counted_pass(
        self, segments: tuple[Segment, ...], times: array[int], keep: Keep, limit: int, *, sure: bool, compare: bool
    ) -> Generator[WholeClips, None, tuple[FrameCounter, bool]]:
        """Decode the whole video and yield the segments, the last only if there are as many frames as ``times``.

        Unless one is ``sure`` of ``times``, frames are counted and no more as soon as packets turn out not to be
        pictures, or as one is shown at another time than ``times`` tell, where those can be compared.

        Returns:
            What was counted, and whether the last segment was yielded.
        """
        waiting = deque(segments)
        plan = self._plan(waiting[0], times)
        wanted = frozenset(plan.keys)
        counted = FrameCounter(self._video, max_packets=self._limits.max_packets)
        missing = False
        for number, picture in counted.pictures():
            missing = missing or (not sure and counted.pictures_are_missing)
            if compare and counted.last_time is not None and number < len(times):
                missing = missing or counted.last_time != times[number]
            if number in wanted and not missing:
                keep(number, picture)
            if counted.found == waiting[0].frames.stop and len(waiting) > 1 and not missing:
                self._note_clips(plan, len(waiting[0].frames))
                yield from self._grouped(plan, waiting[0], left=len(waiting))
                waiting.popleft()
                plan = self._plan(waiting[0], times)
                wanted = frozenset(plan.keys)
            if counted.found == limit:
                break
        if counted.found == len(times) and not missing:
            self._note_clips(plan, len(waiting[0].frames))
            if counted.found == limit:
                self._warn(f"only the first {limit} frames were looked at")
            else:
                self._found(last=times[-1], count=len(times))
            yield from self._grouped(plan, waiting[0], left=1)
            return counted, True
        return counted, False

    # Segments and their clips ------------------------------------------------------------------------

    def _split(self, times: array[int]) -> tuple[Segment, ...]:
        window_s, time_base, limit = self._window_s, self._video.time_base, self._limits.max_segments
        windows = count_windows(times[-1], window_s / time_base)
        if windows > limit:
            shortest_s = float(shortest_length_s(times[-1] * time_base, limit))
            raise BadParameter(
                f"segments of {float(window_s):g} s would be {windows} in this video, more than {limit}",
                hint=f"use segments={f'{shortest_s:.3f}'.rstrip('0').rstrip('.')}s or longer",
            )
        found = found_facts(self._video, self._opening.info, last=times[-1], count=len(times))
        return split(
            times,
            length_s=window_s,
            time_base=time_base,
            end_s=found.duration_s or reached_s(self._video, times[-1]),
            first=self._next_index,
        )

    def _plan(self, segment: Segment, times: array[int]) -> ClipPlan:
        by_time = self._count is not None and self._duration is not None
        clips = segment_clips(times, segment.frames, by_time=by_time, sampling=self._sampling)
        return ClipPlan.of(clips, lambda number: self._frame(number, times[number]))

    def _sweep(self, route: Route, keep: Keep) -> Sweep:
        return Sweep(self._video, route, keep, max_packets=self._limits.max_frames)

    def _fetched(
        self, sweep: Sweep, plan: ClipPlan, stamps: Sequence[int], segment: Segment, *, left: int
    ) -> Iterator[WholeClips]:
        """Fetch the frames of ``plan``, shown at ``stamps``, and yield clips as they become whole."""
        for clips, missing in plan.groups(early=self._early):
            sweep.fetch(stamps[missing.start : missing.stop])
            yield self._whole(plan, clips, segment, left)
        self._close(segment)

    def _grouped(self, plan: ClipPlan, segment: Segment, *, left: int) -> Iterator[WholeClips]:
        """Yield the clips of a plan whose frames were all kept."""
        for clips, _ in plan.groups(early=self._early):
            yield self._whole(plan, clips, segment, left)
        self._close(segment)

    def _whole(self, plan: ClipPlan, clips: range, segment: Segment, left: int) -> WholeClips:
        """``left`` counts the segments to come, this one among them."""
        return WholeClips(segment, self._done, self._done + left, plan, clips, (*self._warnings, *self._disagreement))

    def _close(self, segment: Segment) -> None:
        """The segment was handed out to its end: what is said from now on is about the next one, or about all."""
        self._done += 1
        self._next_index = segment.index + 1
        self._warnings = [warning for warning in self._warnings if warning.scope == "video"]

    # What to tell ------------------------------------------------------------------------------------

    def _frame(self, index: int | None, time: int) -> SampledFrame:
        return sampled_frame(self._video, index, time)

    def _note_clips(self, plan: ClipPlan, count: int) -> None:
        """Warn where the clips of a segment of ``count`` frames are not what they are of a long and steady film."""
        length, in_order = self._sampling.clip_length, self._sampling.rule == "uniform_in_order"
        if count < length:
            effect = "each clip spans all of it and motion looks slower" if in_order else "frames repeat"
            self._warn(f"is short: {count} frames for clips of {length}, so {effect}", "segment")
        elif plan.runs_back:
            self._warn("has clips in which time runs back: its frames come at uneven times", "segment")

    def _found(self, *, last: int, count: int) -> None:
        """All ``count`` frames were found, the last one at ``last`` after the first: that is what the video is."""
        text = disagreement(self._video, self._opening, last=last, count=count)
        self._disagreement = () if text is None else (MediaWarning("video", text),)
        self.info = found_facts(self._video, self._opening.info, last=last, count=count)

    def _warn(self, text: str, scope: Literal["video", "segment"] = "video") -> None:
        warning = MediaWarning(scope, text)
        if warning not in self._warnings:
            self._warnings.append(warning)


def _relative(walked: PacketWalk) -> array[int]:
    start = walked.timestamps[0]
    return array("q", (stamp - start for stamp in walked.timestamps))
