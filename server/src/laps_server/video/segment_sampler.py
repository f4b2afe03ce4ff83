"""The frames of one segment after the other, in one pass over the file.

All packets are read once without decoding them, which says what each segment holds; then a sweep goes forward from
segment to segment. Where the decoder does not give what the packets announced, the segments that are left are
fetched by counting pictures from the start of the file; what was handed out before stays right, because every
picture of it was checked.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

from laps_server.clips import SegmentLength
from laps_server.errors import BadParameter
from laps_server.video.clock import counted_times, end_s, end_warning, read_opening, sampled_frame
from laps_server.video.decode import VideoFile
from laps_server.video.limits import MediaLimits
from laps_server.video.sampling import Sampling
from laps_server.video.segments import Segment, count_windows, segment_clips, shortest_length_s, split
from laps_server.video.straight import counted, decode_counting
from laps_server.video.sweep import Sweep, WalkedRoute
from laps_server.video.timeline import Untrusted, Walk, walk
from laps_server.video.views import Keep, Plan


@dataclass(frozen=True, slots=True)
class SegmentPlan:
    """One segment whose frames were fetched; ``total`` segments there are as far as is known by then."""

    segment: Segment
    total: int
    plan: Plan
    warnings: tuple[str, ...]


class SegmentSampler:
    """Finds and fetches the frames of one video's segments.

    Attributes:
        info: the video's facts.
        warnings: what the client should know about the whole video; grows while :meth:`run` goes on.
    """

    def __init__(self, video: VideoFile, sampling: Sampling, length: SegmentLength, limits: MediaLimits) -> None:
        self._video = video
        self._sampling = sampling
        self._length = length
        self._limits = limits
        self._opening = read_opening(video)
        self._handed_out = 0
        self._next_index = 0  # windows before this one are through
        self.info = self._opening.info
        self.warnings: list[str] = []

    def run(self, keep: Keep, drop_all: Callable[[], None]) -> Iterator[SegmentPlan]:
        """Yield each segment once ``keep`` got all of its frames, under their keys in its plan.

        ``drop_all`` tells that what was kept for a segment still to come is of no use.

        Raises:
            BadParameter: the video has more windows of this length than the limit.
        """
        walked: Walk | None = None
        guess: int | None = None
        if self._opening.first_pts is not None:
            try:
                walked = walk(self._video, self._opening.first_pts, self._limits)
                yield from self._by_walk(walked, keep)
                return
            except Untrusted as reason:
                guess = reason.packets
            drop_all()
        since = f" from {float(self._next_index * self._length.seconds):g} s on" if self._handed_out else ""
        self.warnings.append(f"timestamps are unusable{since}: frames were counted while decoding the whole video")
        yield from self._by_counting(guess, walked, keep, drop_all)

    def _by_walk(self, walked: Walk, keep: Keep) -> Iterator[SegmentPlan]:
        times = _relative(walked)
        segments = self._split(times)
        self._note_end(times[-1])
        if walked.cut_short:
            self.warnings.append(f"only the first {self._limits.max_packets} packets were looked at")
        sweep = Sweep(
            self._video,
            WalkedRoute(self._video, walked),
            lambda pts, picture: keep(walked.number_of(pts), picture),
            max_packets=len(times) + self._limits.max_frames,
        )
        for place, segment in enumerate(segments):
            plan = self._plan(segment, times)
            sweep.fetch([walked.timestamps[number] for number in plan.keys])
            yield self._hand_out(plan, segment, left=len(segments) - place)

    def _by_counting(
        self, guess: int | None, walked: Walk | None, keep: Keep, drop_all: Callable[[], None]
    ) -> Iterator[SegmentPlan]:
        """Count frames by decoding them all; a wrong guess of their number costs another pass."""
        limit = self._limits.max_packets
        count = len(walked.timestamps) if walked else guess or self._opening.frames_from_header
        count = count or decode_counting(self._video, (), keep, max_frames=limit)
        count = max(1, min(count, limit))
        while True:
            times = self._times(count, walked)
            segments = self._split(times)
            if not segments:
                return
            found = yield from self._counted_pass(segments, times, keep)
            if found == 0 and self._handed_out == 0:
                raise self._video.explain_nothing()
            if found == count:
                break
            if found == 0:
                return
            count = found
            drop_all()
        self._note_end(times[-1])
        if count == limit:
            self.warnings.append(f"only the first {limit} frames were looked at")

    def _counted_pass(
        self, segments: tuple[Segment, ...], times: array[int], keep: Keep
    ) -> Generator[SegmentPlan, None, int]:
        """Decode the whole video and yield the segments, the last only if there are as many frames as ``times``.

        Returns the number of frames found.
        """
        waiting = deque(segments)
        plan = self._plan(waiting[0], times)
        wanted = frozenset(plan.keys)
        found = 0
        for number, picture in counted(self._video):
            if number in wanted:
                keep(number, picture)
            found = number + 1
            if found == waiting[0].frames.stop and len(waiting) > 1:
                yield self._hand_out(plan, waiting.popleft(), left=len(waiting) + 1)
                plan = self._plan(waiting[0], times)
                wanted = frozenset(plan.keys)
            if found == self._limits.max_packets:
                break
        if found == len(times):
            yield self._hand_out(plan, waiting[0], left=1)
        return found

    def _times(self, count: int, walked: Walk | None) -> array[int]:
        """When ``count`` counted frames are shown; segments handed out by the walk's clock are gone on with by it."""
        if walked is not None and self._handed_out and count <= len(walked.timestamps):
            return _relative(walked)[:count]
        return counted_times(self._video, self._opening, count)

    def _split(self, times: array[int]) -> tuple[Segment, ...]:
        length_s, time_base, limit = self._length.seconds, self._video.time_base, self._limits.max_segments
        windows = count_windows(times[-1], length_s / time_base)
        if windows > limit:
            shortest_s = float(shortest_length_s(times[-1] * time_base, limit))
            raise BadParameter(
                f"segments of {float(length_s):g} s would be {windows} in this video, more than {limit}",
                hint=f"use segments={f'{shortest_s:.3f}'.rstrip('0').rstrip('.')}s or longer",
            )
        return split(
            times,
            length_s=length_s,
            time_base=time_base,
            end_s=end_s(self._video, times[-1]),
            first=self._next_index,
        )

    def _plan(self, segment: Segment, times: array[int]) -> Plan:
        opening = self._opening
        by_time = opening.frames_from_header is not None and opening.duration_from_header is not None
        clips = segment_clips(times, segment.frames, by_time=by_time, sampling=self._sampling)
        return Plan.of(clips, lambda number: sampled_frame(self._video, number, times[number]))

    def _hand_out(self, plan: Plan, segment: Segment, *, left: int) -> SegmentPlan:
        """``left`` counts the segments to come, this one among them."""
        total = self._handed_out + left
        self._handed_out += 1
        self._next_index = segment.index + 1
        count, clip_length = len(segment.frames), self._sampling.clip_length
        short = f"the segment is short: {count} frames for clips of {clip_length}, so frames repeat"
        return SegmentPlan(segment, total, plan, (short,) if count < clip_length else ())

    def _note_end(self, last: int) -> None:
        text = end_warning(self._video, last)
        if text is not None and text not in self.warnings:
            self.warnings.append(text)


def _relative(walked: Walk) -> array[int]:
    start = walked.timestamps[0]
    return array("q", (stamp - start for stamp in walked.timestamps))
