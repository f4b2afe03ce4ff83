"""An open video: the packets of its chosen stream in file order, and a decoder for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from fractions import Fraction
from functools import cached_property
from types import TracebackType
from typing import Self

import av

from laps_server.errors import ClientClosed, MediaError, NoVideoStream, ResolutionTooLarge, VideoCorrupt
from laps_server.video.accepted_formats import ACCEPTED
from laps_server.video.av_file.container_index import ContainerIndex
from laps_server.video.av_file.container_streams import (
    READ_ERRORS,
    count_packets,
    discard_others,
    refused_stream,
    stream_candidates,
    video_stream,
)
from laps_server.video.av_file.decoded_frame import DecodedFrame
from laps_server.video.av_file.open_container import NO_DECODER, open_container
from laps_server.video.av_file.packet import Packet, holds_shown_picture
from laps_server.video.av_file.refusals import encrypted, too_large
from laps_server.video.av_file.stream_headers import StreamHeaders
from laps_server.video.descriptor_reader import DescriptorReader
from laps_server.video.limits import MediaLimits
from laps_server.video.shown_packets import shown_packet_test
from laps_server.video.stream_choice import StreamChoice, choose_stream, packets_by_index, without_thumbnails
from laps_server.video.truncation import has_media_after, is_truncated


class VideoFile:
    """An open video: its chosen stream's packets in file order, and a decoder for them.

    Attributes:
        headers: what is declared about the stream.
        index: the container's own index of the stream.
        decode_errors: packets that the decoder refused so far.
        damaged: whether a packet was incomplete or reading stopped before the end.
    """

    def __init__(self, descriptor: int, *, limits: MediaLimits, threads: int, should_stop: Callable[[], bool]) -> None:
        self._reader = DescriptorReader(descriptor)
        self._limits = limits
        self._accepted = ACCEPTED[limits.codecs]
        self._threads = threads
        self._should_stop = should_stop
        self.decode_errors = 0
        self.damaged = False
        self._refused_size = False
        self._choice: StreamChoice | None = None  # made once: a file is opened anew at each rewind
        self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the decoder and the demuxer."""
        self._container.close()

    @property
    def time_base(self) -> Fraction:
        """Seconds per timestamp unit."""
        return self.headers.time_base

    @property
    def warnings(self) -> tuple[str, ...]:
        """The choice of the stream, and damage met so far."""
        notes = []
        if self._choice is not None and self._choice.warning is not None:
            notes.append(self._choice.warning)
        if self.decode_errors:
            notes.append("some packets could not be decoded")
        if self.damaged or self._is_truncated:
            notes.append("the file is damaged or was cut off")
        return tuple(notes)

    # Opening -----------------------------------------------------------------------------------------

    def rewind(self) -> None:
        """Start over at the very first packet: opening anew is the one seek that never lands late."""
        self.close()
        self._reader.seek(0)
        self._open()

    def _open(self) -> None:
        self._container = open_container(self._reader, self._limits)
        try:
            if self._choice is None:
                self._choice = self._choose()
            self._stream = video_stream(self._container, self._choice.index)
        except BaseException:
            self._container.close()
            raise
        discard_others(self._container, [self._stream.index])
        context = self._stream.codec_context
        # Options given to open reach FFmpeg's probing only, not this decoder.
        context.options = {
            "max_pixels": str(self._limits.max_pixels),
            "codec_whitelist": self._accepted.codec_whitelist,
        }
        context.thread_count = self._threads
        context.thread_type = "SLICE"
        self.headers = StreamHeaders(self._container, self._stream, size_bytes=self._reader.size, limits=self._limits)
        self.index = ContainerIndex(self._stream)

    def _choose(self) -> StreamChoice:
        """Find the main video among the streams.

        Packets are read for it only where there are several streams and no index says how many packets each has.

        Raises:
            MediaError: there is none, or none that may be decoded.
        """
        candidates = without_thumbnails(stream_candidates(self._container, self._limits))
        if not candidates:
            raise NoVideoStream("the file has no video stream", hint="sound and cover art alone cannot be classified")
        choice = StreamChoice(candidates[0].index)
        if len(candidates) > 1:
            packets = packets_by_index(candidates)
            if packets is None:
                packets = self._count_packets([candidate.index for candidate in candidates])
            choice = choose_stream(candidates, packets, self._accepted.decoders)
        chosen = next(candidate for candidate in candidates if candidate.index == choice.index)
        if chosen.decoder not in self._accepted.decoders:
            raise refused_stream(video_stream(self._container, chosen.index), self._limits)
        if chosen.pixels > self._limits.max_pixels:
            raise too_large(chosen.width, chosen.height, self._limits)
        return choice

    def _count_packets(self, indices: list[int]) -> Mapping[int, int]:
        """How many packets each of some streams has, up to a limit; afterwards the file is open as before."""

        def bytes_read() -> int:
            self._stop_if_abandoned()
            return self._reader.tell()

        counts = count_packets(self._container, indices, bytes_read)
        self._container.close()
        self._reader.seek(0)
        self._container = open_container(self._reader, self._limits)
        return counts

    # Packets and frames ------------------------------------------------------------------------------

    def packets(self) -> Iterator[Packet]:
        """The stream's packets from the current position to the end of the file, or to damage."""
        shows = shown_packet_test(self.headers.codec, bytes(self._stream.codec_context.extradata or b""))
        source = self._container.demux(self._stream)
        while True:
            self._stop_if_abandoned()
            try:
                raw = next(source, None)
            except READ_ERRORS:
                self.damaged |= self._has_more_behind_failure
                return
            if raw is None or raw.size == 0:
                if raw is None or raw.pts is None:
                    return
                continue
            if raw.is_corrupt:
                self.damaged = True
                # Half a packet makes no frame; only MPEG streams mark whole packets as well.
                if self.headers.container not in ("mpegts", "mpegps"):
                    continue
            shown = not raw.is_discard and (shows is None or holds_shown_picture(raw, shows))
            yield Packet(pts=raw.pts, dts=raw.dts, key=raw.is_keyframe, shown=shown, payload=raw)

    def decode(self, packet: Packet | None) -> list[DecodedFrame]:
        """Feed a packet, or None to drain; the frames that come out, in presentation order."""
        self._stop_if_abandoned()
        if packet is not None and packet.payload.has_sidedata("encryption_info"):
            raise encrypted()
        try:
            frames = self._stream.codec_context.decode(None if packet is None else packet.payload)
        except (av.FFmpegError, ValueError, MemoryError) as exc:
            if packet is None or packet.shown:  # decoders take a message without a picture for damage
                self.decode_errors += 1
            # Decoders answer damage with "invalid data", but a size beyond max_pixels with "invalid argument".
            self._refused_size |= isinstance(exc, av.ArgumentError)
            return []
        for frame in frames:
            if frame.width * frame.height > self._limits.max_pixels:
                raise too_large(frame.width, frame.height, self._limits)
        return [DecodedFrame(frame) for frame in frames]

    def flush(self) -> None:
        """Drop the decoder's state before feeding it from another place."""
        self._stream.codec_context.flush_buffers()

    def seek(self, timestamp: int) -> bool:
        """Move to a key frame that the container holds to be at or before ``timestamp``; it may be later."""
        try:
            self._container.seek(timestamp, stream=self._stream, backward=True)
        except (av.FFmpegError, OverflowError):
            return False
        return True

    def _stop_if_abandoned(self) -> None:
        if self._should_stop():
            raise ClientClosed("the request was abandoned while its video was read")

    # What went wrong ---------------------------------------------------------------------------------

    def why_no_frame(self) -> MediaError:
        """Why not one frame came out."""
        if self._refused_size:
            return ResolutionTooLarge("the pictures are too large", hint=f"at most {self._limits.max_pixels} pixels")
        width, height = self._size_from_header()
        if width * height > self._limits.max_pixels:
            return too_large(width, height, self._limits)
        return VideoCorrupt("not one frame of the video could be decoded", hint="was the whole file sent?")

    def _size_from_header(self) -> tuple[int, int]:
        """Declared width and height. FFmpeg forgets them where a decoder refuses a size, which probing already does."""
        self._reader.seek(0)
        with suppress(MediaError), open_container(self._reader, self._limits, decoders=NO_DECODER) as container:
            for stream in container.streams.video:
                if stream.index == self._stream.index:
                    return stream.codec_context.width, stream.codec_context.height
        return 0, 0

    @cached_property
    def _has_more_behind_failure(self) -> bool:
        """Whether there is more of the video where reading failed first; bytes behind its end are no damage."""
        return has_media_after(
            self._reader.tell(),
            container=self.headers.container,
            size=self._reader.size,
            read=self._reader.read_at,
        )

    @cached_property
    def _is_truncated(self) -> bool:
        return is_truncated(self.headers.container, self._reader.size, self._reader.read_at)
