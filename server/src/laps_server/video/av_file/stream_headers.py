"""What headers declare about a video stream, as far as it can be true."""

from __future__ import annotations

from fractions import Fraction

import av
import av.container
import av.stream
import av.video.stream

from laps_server.video.accepted_formats import ACCEPTED
from laps_server.video.av_file.decoded_frame import DecodedFrame
from laps_server.video.limits import MediaLimits
from laps_server.video_info import VideoInfo

MEASURED = ("mpegts", "mpegps")  # containers that declare no duration
FROM_ZERO = ("matroska", "flv")  # those whose duration counts from time zero, not from their first packet


class StreamHeaders:
    """The declared facts of one stream of an open container; some demuxers change them as packets are read.

    Attributes:
        container: our name of the container.
        time_base: seconds per timestamp unit.
        size_bytes: size of the file.
    """

    def __init__(
        self,
        container: av.container.InputContainer,
        stream: av.video.stream.VideoStream,
        *,
        size_bytes: int,
        limits: MediaLimits,
    ) -> None:
        self._container = container
        self._stream = stream
        self._limits = limits
        self.container = ACCEPTED[limits.codecs].containers[container.format.name]
        self.time_base: Fraction = stream.time_base or Fraction(1, av.time_base)
        self.size_bytes = size_bytes

    @property
    def codec(self) -> str:
        """The codec's common name."""
        return self._stream.codec_context.codec.canonical_name

    @property
    def rate(self) -> Fraction | None:
        """Frames per second as declared or probed; None where absurd."""
        for rate in (self._stream.average_rate, self._stream.guessed_rate):
            if rate is not None and 0 < rate <= self._limits.max_fps:
                return rate
        return None

    @property
    def frame_count(self) -> int | None:
        """The declared frame count; None where it is absent or cannot be true.

        A frame takes at least a byte of the file, and a thousand frames a second are no video.
        """
        count = self._stream.frames
        if not 0 < count <= self.size_bytes:
            return None
        duration = self.duration
        if duration is not None and count > self._limits.max_fps * max(1.0, float(duration * self.time_base)):
            return None
        return count

    @property
    def duration(self) -> int | None:
        """The video stream's own duration in time base units, None where no header gives it.

        In MPEG streams FFmpeg measures it from what is there. Where nothing is known of one stream, FFmpeg fills in
        what it knows of the file, which may be how long the sound is.
        """
        duration = self._stream.duration
        if duration is None or duration <= 0 or self.container in MEASURED:
            return None
        if not self._stream.frames and not self._is_alone and self._container.duration is not None:
            whole = round(Fraction(self._container.duration, av.time_base) / self.time_base)
            if abs(duration - whole) <= 1:
                return None
        return duration

    @property
    def longest_s(self) -> float | None:
        """Seconds that the video lasts at most: by the stream's duration, else by the container's."""
        if self.duration is not None:
            return float(self.duration * self.time_base)
        if self._container.duration is not None and self._container.duration > 0:
            return self._container.duration / av.time_base
        return None

    def duration_s(self, first_pts: int | None) -> float | None:
        """Seconds from the first frame to the end that is declared for the video; None where none is.

        The container's duration is the video's where there is no other stream; Matroska and FLV count it from time 0.
        """
        whole_s = self.longest_s
        if self.duration is not None or whole_s is None:
            return whole_s
        if self.container in MEASURED or not self._is_alone:
            return None
        first_s = float((first_pts or 0) * self.time_base)
        origin_s = 0.0 if self.container in FROM_ZERO else (self._container.start_time or 0) / av.time_base
        late_s = first_s - origin_s
        return whole_s - late_s if 0 < late_s < whole_s else whole_s

    @property
    def _is_alone(self) -> bool:
        """Whether nothing beside the video could be what lasts as long as the file; a cover lasts no time."""
        return all(
            stream.index == self._stream.index or stream.disposition & av.stream.Disposition.attached_pic
            for stream in self._container.streams
        )

    def describe(self, first: DecodedFrame) -> VideoInfo:
        """Facts of the stream; ``first`` is its first frame."""
        width, height = first.size
        aspect = self._stream.codec_context.sample_aspect_ratio
        return VideoInfo(
            container=self.container,
            codec=self.codec,
            width=width,
            height=height,
            fps=None if self.rate is None else float(self.rate),
            duration_s=self.duration_s(first.pts),
            frame_count=self.frame_count,
            rotation=first.orientation.clockwise,
            sample_aspect_ratio=f"{aspect.numerator}:{aspect.denominator}" if aspect else None,
            stream_index=self._stream.index,
        )
