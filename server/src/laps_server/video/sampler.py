"""Which frames of this very video its segments use, and the ways to them.

A video is cut into windows of time; one window may hold all of it. Headers decide the rule of sampling, packets give
timestamps, a sweep fetches frames. There are three ways, and where one turns out to be untrustworthy the next takes
over with what is left::

    by the index    one window holds the video, and its container can be searched: only what clips need is read
    by the walk     all packets are read once without decoding, then a sweep goes from segment to segment
    by counting     timestamps and frames disagree: every frame is decoded and counted

Segments that were handed out stay right, because every frame of theirs was checked. One that was only begun begins
once more.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from math import ceil
from typing import Literal

from laps_server.errors import BadParameter
from laps_server.part import MediaWarning, Segment
from laps_server.video.av_file.decoded_frame import DecodedFrame
from laps_server.video.av_file.video_file import VideoFile
from laps_server.video.clip_plan import ClipPlan, WholeClips
from laps_server.video.durations import disagreement, even_times, found_facts, reached_s, sampled_frame
from laps_server.video.frame_counter import FrameCounter, count_frames
from laps_server.video.index_planner import IndexPlanner
from laps_server.video.limits import MediaLimits
from laps_server.video.packet_walk import PacketWalk, walk_packets
from laps_server.video.route import Route
from laps_server.video.sampling.rules import RULES
from laps_server.video.sampling.sampling import Clock, Sampling
from laps_server.video.segments import count_windows, segment_clips, shortest_length_s, split
from laps_server.video.sweep import Sweep
from laps_server.video.timestamps import TimestampsUnreliable
from laps_server.video.video_start import read_start
from laps_server.video.walked_route import WalkedRoute

Keep = Callable[[int, DecodedFrame], None]
# Up to here all packets are read even where an index would allow seeking: it costs next to nothing.
WALK_SECONDS = 120
WALK_BYTES = 64 * 1024 * 1024


class Sampler:
    """Finds and fetches the frames of one video's clips, segment by segment.

    Attributes:
        info: the video's facts.
    """

    def __init__(
        self, video: VideoFile, sampling: Sampling, window_s: Fraction, *, limits: MediaLimits, early: bool
    ) -> None:
        self._video = video
        self._sampling = sampling
        self._window_s = window_s
        self._early = early
        self._limits = limits
        self._start = read_start(video)
        self._clock = Clock(video.time_base, video.headers.rate)
        self._warnings: list[MediaWarning] = []
        self._disagreement: tuple[MediaWarning, ...] = ()  # of the header with what was found
        self._done = 0  # segments that were handed out to their end
        self._next_index = 0  # windows before this one are through
        self.info = self._start.info

    def run(self, keep: Keep, drop_all: Callable[[], None]) -> Iterator[WholeClips]:
        """Yield clips once ``keep`` got all of their frames, under their keys in the plan.

        ``drop_all`` is called when what was kept for clips still to come is of no use.

        Raises:
            BadParameter: the video has more windows of this length than the limit.
        """
        first_pts = self._start.first_pts
        if first_pts is not None:
            with suppress(TimestampsUnreliable):
                yield from self._by_index(first_pts, keep)
                return
            self._start_over(drop_all)
        guess: int | None = None
        times: array[int] | None = None
        # AVI numbers its entries in the order of decoding: its packets have decoding times and no presentation times.
        compare = self._video.headers.container != "avi"
        try:
            walked = walk_packets(self._video, first_pts, self._limits)
            times = _relative(walked)
            yield from self._by_walk(walked, times, keep)
            return
        except TimestampsUnreliable as reason:
            if times is None:
                guess, times, compare = reason.packets, reason.times, compare and reason.shown_times
        self._start_over(drop_all)
        yield from self._by_counting(keep, drop_all, guess=guess, times=times, compare=compare)

    def _start_over(self, drop_all: Callable[[], None]) -> None:
        """What was fetched, noted and found for segments still to come is of no use."""
        drop_all()
        self._warnings = [warning for warning in self._warnings if self._done and warning.scope == "video"]
        self._disagreement = ()
        self.info = self._start.info

    # By the container's index ------------------------------------------------------------------------

    def _by_index(self, first_pts: int, keep: Keep) -> Iterator[WholeClips]:
        video, longest_s = self._video, self._video.headers.longest_s
        if longest_s is None or longest_s > self._window_s:
            raise TimestampsUnreliable("more than one window, or nobody knows")
        planner = IndexPlanner(video, self._start, first_pts=first_pts, sampling=self._sampling, clock=self._clock)
        index = planner.index
        # The clips: by what the index counts, or by a steady rate.
        if index is not None:
            count, last = index.length, index.span
            plan = planner.plan_by_index(index)
        elif video.headers.container in ("mp4", "matroska") and self._is_long(longest_s):
            numbering, count, last = planner.numbering_by_rate(longest_s)
            self._note_facts(last=last, count=count)
            plan = planner.plan_by_numbers(numbering, count, last)
        else:
            raise TimestampsUnreliable("no index to go by")
        self._note_clips(plan, count=count, span=last)
        if last * video.time_base >= self._window_s:
            raise TimestampsUnreliable("more than one window, whatever is declared")
        segment = Segment(index=0, start_s=0.0, end_s=self.info.duration_s or longest_s, frames=range(count))
        yield from self._fetched(self._sweep(planner.route, keep), plan, plan.keys, segment=segment, left=1)

    def _is_long(self, longest_s: float) -> bool:
        """Whether reading all packets costs more than seeking."""
        return longest_s > WALK_SECONDS or self._video.headers.size_bytes > WALK_BYTES

    # By all packets ----------------------------------------------------------------------------------

    def _by_walk(self, walked: PacketWalk, times: array[int], keep: Keep) -> Iterator[WholeClips]:
        if walked.cut_short:
            self._warn(f"only the first {self._limits.max_packets} packets were looked at")
        else:
            self._note_facts(last=times[-1], count=len(times))
        segments = self._split(times)
        sweep = self._sweep(WalkedRoute(self._video, walked), lambda pts, frame: keep(walked.number_of(pts), frame))
        for place, segment in enumerate(segments):
            plan = self._plan(segment, times)
            stamps = [walked.timestamps[number] for number in plan.keys]
            self._note_clips(plan, count=len(segment.frames), span=_span(segment, times))
            sweep.allow(self._limits.max_frames + segment.frames.start)
            yield from self._fetched(sweep, plan, stamps, segment=segment, left=len(segments) - place)

    # By counting -------------------------------------------------------------------------------------

    def _by_counting(
        self,
        keep: Keep,
        drop_all: Callable[[], None],
        *,
        guess: int | None,
        times: array[int] | None,
        compare: bool,
    ) -> Iterator[WholeClips]:
        """Count frames by decoding them all.

        Args:
            keep, drop_all: see :meth:`run`.
            guess: how many there may be; a wrong guess costs another pass.
            times: when so many frames are shown, as far as packets tell.
            compare: whether frames have to have those very times.
        """
        limit = self._countable()
        if times is None and (guess or self._start.frames_from_header) is None:
            counted = count_frames(self._video, max_frames=limit, max_packets=self._limits.max_packets)
            guess, times = counted.found, counted.own_times
        count = max(1, min(len(times) if times else guess or self._start.frames_from_header or 1, limit))
        sure = False  # whether it was counted
        while True:
            self._note_clock(made_up=times is None)
            times = even_times(self._video, self._start, count) if times is None else times[:count]
            segments = self._split(times)
            if not segments:
                return
            counted, complete = yield from self._counted_pass(
                segments, times, keep, limit=limit, sure=sure, compare=compare and not sure
            )
            if counted.found == 0 and self._done == 0:
                raise self._video.why_no_frame()
            if complete or counted.found == 0:
                return
            count, times, sure = counted.found, counted.own_times, True
            self._start_over(drop_all)

    def _note_clock(self, *, made_up: bool) -> None:
        """Warn, once, that frames have no times of their own."""
        if made_up and not any("timestamps are unusable" in warning.text for warning in self._warnings):
            since = f" from {float(self._next_index * self._window_s):g} s on" if self._done else ""
            self._warn(f"timestamps are unusable{since}: frames were counted while decoding the whole video")

    def _countable(self) -> int:
        """The most frames that are counted: those of a segment have a limit of their own."""
        limits = self._limits
        frames_of_a_window = self._window_s * (self._video.headers.rate or limits.max_fps)
        return limits.max_packets if frames_of_a_window <= limits.max_frames else limits.max_frames

    def _counted_pass(
        self, segments: tuple[Segment, ...], times: array[int], keep: Keep, *, limit: int, sure: bool, compare: bool
    ) -> Generator[WholeClips, None, tuple[FrameCounter, bool]]:
        """Decode the whole video and yield the segments, the last only if there are as many frames as ``times``.

        The rest is only counted as soon as packets turn out to give no frame, or a frame is shown at another time
        than its place in ``times`` says.

        Args:
            segments: those still to come.
            times: when each frame of the video is shown.
            keep: see :meth:`run`.
            limit: the most frames that are counted.
            sure: whether ``times`` are those of an earlier count, so that no frame can be missing.
            compare: whether frames have to have those very times.

        Returns:
            What was counted, and whether the last segment was yielded.
        """
        waiting = deque(segments)
        plan = self._plan(waiting[0], times)
        wanted = frozenset(plan.keys)
        counted = FrameCounter(self._video, max_packets=self._limits.max_packets)
        missing = False
        for number, frame in counted.frames():
            # Are the frames still those that were announced?
            missing = missing or (not sure and counted.frames_are_missing)
            if compare and counted.last_time is not None and number < len(times):
                missing = missing or counted.last_time != times[number]
            if number in wanted and not missing:
                keep(number, frame)
            # The last frame of a segment, and it is not the last segment.
            if counted.found == waiting[0].frames.stop and len(waiting) > 1 and not missing:
                self._note_clips(plan, count=len(waiting[0].frames), span=_span(waiting[0], times))
                yield from self._grouped(plan, segment=waiting[0], left=len(waiting))
                waiting.popleft()
                plan = self._plan(waiting[0], times)
                wanted = frozenset(plan.keys)
            if counted.found == limit:
                break
        # The last segment, whose end is known only now.
        if counted.found == len(times) and not missing:
            self._note_clips(plan, count=len(waiting[0].frames), span=_span(waiting[0], times))
            if counted.found == limit:
                self._warn(f"only the first {limit} frames were looked at")
            else:
                self._note_facts(last=times[-1], count=len(times))
            yield from self._grouped(plan, segment=waiting[0], left=1)
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
        found = found_facts(self._video, self._start.info, last=times[-1], count=len(times))
        return split(
            times,
            length_s=window_s,
            time_base=time_base,
            end_s=found.duration_s or reached_s(self._video, times[-1]),
            first=self._next_index,
        )

    def _plan(self, segment: Segment, times: array[int]) -> ClipPlan:
        start = self._start
        by_time = start.frames_from_header is not None and start.duration_from_header is not None
        clips = segment_clips(times, segment.frames, by_time=by_time, sampling=self._sampling, clock=self._clock)
        return ClipPlan.of(clips, lambda number: sampled_frame(self._video, number, times[number]))

    def _sweep(self, route: Route, keep: Keep) -> Sweep:
        return Sweep(self._video, route, keep, max_packets=self._limits.max_frames)

    def _fetched(
        self, sweep: Sweep, plan: ClipPlan, stamps: Sequence[int], *, segment: Segment, left: int
    ) -> Iterator[WholeClips]:
        """Fetch the frames of ``plan``, shown at ``stamps``, and yield clips as they become whole."""
        for clips, missing in plan.groups(early=self._early):
            sweep.fetch(stamps[missing.start : missing.stop])
            yield self._whole(plan, clips, segment=segment, left=left)
        self._close(segment)

    def _grouped(self, plan: ClipPlan, *, segment: Segment, left: int) -> Iterator[WholeClips]:
        """Yield the clips of a plan whose frames were all kept."""
        for clips, _ in plan.groups(early=self._early):
            yield self._whole(plan, clips, segment=segment, left=left)
        self._close(segment)

    def _whole(self, plan: ClipPlan, clips: range, *, segment: Segment, left: int) -> WholeClips:
        """``left`` counts the segments to come, this one among them."""
        return WholeClips(
            segment=segment,
            ordinal=self._done,
            segments_total=self._done + left,
            plan=plan,
            clips=clips,
            warnings=(*self._warnings, *self._disagreement),
        )

    def _close(self, segment: Segment) -> None:
        """The segment was handed out to its end: warnings from now on are about the next one, or about the video."""
        self._done += 1
        self._next_index = segment.index + 1
        self._warnings = [warning for warning in self._warnings if warning.scope == "video"]

    # Warnings ---------------------------------------------------------------------------------------

    def _note_clips(self, plan: ClipPlan, *, count: int, span: int) -> None:
        """Warn where a segment is too short or too uneven for clips as the model knows them.

        It has ``count`` frames, the last one ``span`` after the first.
        """
        rule = RULES[self._sampling.rule]
        length = ceil(rule.clip_length(self._clock.rate(count, span), self._sampling))
        if count < length:
            self._warn(f"is short: {count} frames for clips of {length}, so {rule.when_short}", "segment")
        elif rule.windows is not None and plan.runs_back:
            self._warn("has clips in which time runs back: its frames come at uneven times", "segment")

    def _note_facts(self, *, last: int, count: int) -> None:
        """Take over what was found: ``count`` frames, the last one at ``last`` after the first."""
        text = disagreement(self._video, self._start, last=last, count=count)
        self._disagreement = () if text is None else (MediaWarning("video", text),)
        self.info = found_facts(self._video, self._start.info, last=last, count=count)

    def _warn(self, text: str, scope: Literal["video", "segment"] = "video") -> None:
        warning = MediaWarning(scope, text)
        if warning not in self._warnings:
            self._warnings.append(warning)


def _relative(walked: PacketWalk) -> array[int]:
    start = walked.timestamps[0]
    return array("q", (stamp - start for stamp in walked.timestamps))


def _span(segment: Segment, times: array[int]) -> int:
    """Time from a segment's first frame to its last."""
    return times[segment.frames.stop - 1] - times[segment.frames.start]
