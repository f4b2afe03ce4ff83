"""From a file descriptor to packets and RGB pictures: the only module that imports ``av``.

A client's file is hostile until shown otherwise. Containers, protocols and codecs are white lists, the pixel
limit is set in both places that FFmpeg reads it from, the thread count is explicit, and a file name never
gets here. Every foreign exception leaves this module as one of ours. It is longer than others, since whatever touches
``av`` is here.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import chain
from types import TracebackType
from typing import Self

import av
import av.container
import av.index
import av.packet
import av.video
import av.video.codeccontext
import av.video.frame
import av.video.stream
import numpy as np
from av.sidedata.sidedata import SideDataContainer
from av.sidedata.sidedata import Type as SideDataType

from laps_server.arrays import UInt8Array
from laps_server.errors import (
    ClientClosed,
    MediaError,
    NoVideoStream,
    ResolutionTooLarge,
    TooManyStreams,
    UnsupportedCodec,
    VideoCorrupt,
)
from laps_server.video.accepted_formats import ACCEPTED, refused_codec, refused_container
from laps_server.video.asf import is_protected
from laps_server.video.container_index import ContainerIndex, on_a_line
from laps_server.video.descriptor_reader import DescriptorReader, container_by_signature
from laps_server.video.limits import MediaLimits
from laps_server.video.orientation import AS_DECODED, Orientation, nearest_turn
from laps_server.video.shown_packets import HEAD_BYTES, ShowsPicture, shown_packet_test
from laps_server.video.stream_choice import StreamCandidate, StreamChoice, choose, packets_by_index, possible_films
from laps_server.video.truncation import has_media_after, is_truncated
from laps_server.video_info import VideoInfo

# What reading on may raise; IndexError where a stream appears that was not there when the file was opened.
READ_ERRORS = (av.FFmpegError, OSError, ValueError, IndexError)
INDEX_END_ENTRIES = 1024
INDEX_SAMPLES = 64
DISPLAY_MATRIX = struct.Struct("=9i")
HALF_TURN = 180  # degrees; beyond it an angle is FFmpeg's word for none
NO_DECODER = "none"  # a list without a decoder's name on it: an empty one would let all in
MEASURED = ("mpegts", "mpegps")  # containers that declare no duration
FROM_ZERO = ("matroska", "flv")  # those whose duration counts from time zero, not from their first packet
THUMBNAIL = (
    av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails | av.stream.Disposition.still_image
)
READ_BUFFER_BYTES = 128 * 1024
# To see which of several streams have packets: so many of each are enough, and no more than this is read.
ENOUGH_PACKETS = 32
CENSUS_PACKETS = 8192
CENSUS_BYTES = 32 * 1024 * 1024


@dataclass(slots=True)
class Packet:
    """One video packet. ``shown`` is false where the decoder gives no picture for it."""

    pts: int | None
    dts: int | None
    key: bool
    shown: bool
    payload: av.packet.Packet[av.video.stream.VideoStream]


class Picture:
    """One decoded frame, still in its native format."""

    __slots__ = ("_frame",)

    def __init__(self, frame: av.video.frame.VideoFrame) -> None:
        self._frame = frame

    @property
    def pts(self) -> int | None:
        """Timestamp in stream time base units, as the decoder gives it."""
        return self._frame.pts

    @property
    def entry(self) -> bool:
        """Whether decoding may begin with this picture."""
        return self._frame.key_frame or self._frame.pict_type == av.video.frame.PictureType.I

    @property
    def size(self) -> tuple[int, int]:
        """Width and height before rotation."""
        return self._frame.width, self._frame.height

    @property
    def orientation(self) -> Orientation:
        """How it is to be mirrored and turned for display."""
        # Not the frame's own side_data: a frame and its container hold each other, and pictures would pile up until
        # the collector comes round. Apart from its construction, because that stops at the first kind of side data
        # that PyAV has no name for (EXIF), and what comes before it, the matrix, is wanted all the same.
        known = SideDataContainer.__new__(SideDataContainer)
        complete = False
        with suppress(ValueError):
            SideDataContainer.__init__(known, self._frame)  # type: ignore[call-arg]  # the stub leaves it out
            complete = True
        matrix = known.get(SideDataType.DISPLAYMATRIX)
        if matrix is not None and matrix.buffer_size >= DISPLAY_MATRIX.size:
            a, b, _, c, d, *_ = DISPLAY_MATRIX.unpack_from(matrix)
            return Orientation.of_matrix(a, b, c, d)
        turn = 0 if complete else -self._frame.rotation
        return Orientation(mirrored=False, clockwise=nearest_turn(turn)) if abs(turn) <= HALF_TURN else AS_DECODED

    def rgb(self) -> UInt8Array:
        """Upright uint8 ``[h, w, 3]`` at native size."""
        try:
            picture = np.asarray(self._frame.to_ndarray(format="rgb24", threads=1), dtype=np.uint8)
        except (av.FFmpegError, ValueError, MemoryError) as exc:
            raise VideoCorrupt("a frame cannot be converted to RGB") from exc
        return self.orientation.upright(picture)


class VideoFile:
    """An open video: its chosen stream's packets in file order, and a decoder for them.

    Attributes:
        time_base: seconds per timestamp unit.
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
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the decoder and the demuxer."""
        self._container.close()

    def rewind(self) -> None:
        """Start over at the very first packet: opening anew is the one seek that never lands late."""
        self.close()
        self._reader.seek(0)
        self._open()

    def _open(self) -> None:
        self._container = _open_container(self._reader, self._limits)
        try:
            if self._choice is None:
                self._choice = self._choose()
            self._stream = _video_stream(self._container, self._choice.index)
        except BaseException:
            self._container.close()
            raise
        for stream in self._container.streams:
            if stream.index != self._stream.index:
                stream.discard = av.stream.Discard.all
        context = self._stream.codec_context
        # Options given to open reach FFmpeg's probing only, not this decoder.
        context.options = {
            "max_pixels": str(self._limits.max_pixels),
            "codec_whitelist": self._accepted.codec_whitelist,
        }
        context.thread_count = self._threads
        context.thread_type = "SLICE"
        self.time_base: Fraction = self._stream.time_base or Fraction(1, av.time_base)

    def _choose(self) -> StreamChoice:
        """Find the film among the streams; packets are read only where there are several and no index tells of them.

        Raises:
            MediaError: there is none, or none that may be decoded.
        """
        films = possible_films(_candidates(self._container, self._limits))
        if not films:
            raise NoVideoStream("the file has no video stream", hint="sound and cover art alone cannot be classified")
        choice = StreamChoice(films[0].index)
        if len(films) > 1:
            packets = packets_by_index(films)
            if packets is None:
                packets = self._census([film.index for film in films])
            choice = choose(films, packets, self._accepted.decoders)
        film = next(film for film in films if film.index == choice.index)
        if film.decoder not in self._accepted.decoders:
            raise _refusal(_video_stream(self._container, film.index), self._limits)
        if film.pixels > self._limits.max_pixels:
            raise _too_large(film.width, film.height, self._limits)
        return choice

    def _census(self, indices: list[int]) -> Mapping[int, int]:
        """How many packets each of some streams has, as far as is looked; afterwards the file is open as before."""
        counts = dict.fromkeys(indices, 0)
        for stream in self._container.streams:
            if stream.index not in counts:
                stream.discard = av.stream.Discard.all
        with suppress(*READ_ERRORS):  # what is damaged will be told when the film is read
            for packet in self._container.demux([self._container.streams[index] for index in indices]):
                self._stop_if_abandoned()
                counts[packet.stream.index] += packet.size > 0
                if min(counts.values()) >= ENOUGH_PACKETS or sum(counts.values()) >= CENSUS_PACKETS:
                    break
                if self._reader.tell() >= CENSUS_BYTES:
                    break
        self._container.close()
        self._reader.seek(0)
        self._container = _open_container(self._reader, self._limits)
        return counts

    # What the container says -------------------------------------------------------------------------

    @property
    def container(self) -> str:
        """Our name of the container."""
        return self._accepted.containers[self._container.format.name]

    @property
    def codec(self) -> str:
        """The codec's common name."""
        return self._stream.codec_context.codec.canonical_name

    @property
    def size_bytes(self) -> int:
        """Size of the file."""
        return self._reader.size

    @property
    def rate(self) -> Fraction | None:
        """Frames per second as declared or probed; None where absurd."""
        for rate in (self._stream.average_rate, self._stream.guessed_rate):
            if rate is not None and 0 < rate <= self._limits.max_fps:
                return rate
        return None

    @property
    def duration_from_header(self) -> int | None:
        """The video stream's own duration in time base units, None where no header gives it.

        Of MPEG streams it is measured by FFmpeg, from what is there. Where nothing is known of one stream, FFmpeg fills
        in what it knows of the file, which may be how long the sound is.
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
    def duration_s(self) -> float | None:
        """Seconds that the video lasts at most: of the stream where it says so, else of the container."""
        if self.duration_from_header is not None:
            return float(self.duration_from_header * self.time_base)
        if self._container.duration is not None and self._container.duration > 0:
            return self._container.duration / av.time_base
        return None

    def declared_s(self, first_pts: int | None) -> float | None:
        """Seconds from the first picture to the end that is declared for the video; None where none is.

        The container's duration is the video's where there is no other stream; Matroska and FLV count it from time 0.
        """
        whole_s = self.duration_s
        if self.duration_from_header is not None or whole_s is None:
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

    @property
    def frames_from_header(self) -> int | None:
        """The declared frame count; None where it is absent or cannot be true.

        A frame takes at least a byte of the file, and a thousand frames a second are no video.
        """
        count = self._stream.frames
        if not 0 < count <= self.size_bytes:
            return None
        duration = self.duration_from_header
        if duration is not None and count > self._limits.max_fps * max(1.0, float(duration * self.time_base)):
            return None
        return count

    def describe(self, first: Picture) -> VideoInfo:
        """Facts of the stream; ``first`` is its first picture."""
        width, height = first.size
        aspect = self._stream.codec_context.sample_aspect_ratio
        return VideoInfo(
            container=self.container,
            codec=self.codec,
            width=width,
            height=height,
            fps=None if self.rate is None else float(self.rate),
            duration_s=self.declared_s(first.pts),
            frame_count=self.frames_from_header,
            rotation=first.orientation.clockwise,
            sample_aspect_ratio=f"{aspect.numerator}:{aspect.denominator}" if aspect else None,
            stream_index=self._stream.index,
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """The choice of the stream, and damage met so far."""
        notes = []
        if self._choice is not None and self._choice.warning is not None:
            notes.append(self._choice.warning)
        if self.decode_errors:
            notes.append("some packets could not be decoded")
        if self.damaged or self._is_cut_short:
            notes.append("the file is damaged or was cut off")
        return tuple(notes)

    @cached_property
    def _breaks_off(self) -> bool:
        """Whether there is more of the video where reading failed first; bytes behind its end are no damage."""
        return has_media_after(self.container, self._reader.tell(), self.size_bytes, self._reader.read_at)

    @cached_property
    def _is_cut_short(self) -> bool:
        return is_truncated(self.container, self.size_bytes, self._reader.read_at)

    # Packets and pictures ----------------------------------------------------------------------------

    def packets(self) -> Iterator[Packet]:
        """The stream's packets from the current position to the end of the file, or to damage."""
        shows = shown_packet_test(self.codec, bytes(self._stream.codec_context.extradata or b""))
        source = self._container.demux(self._stream)
        while True:
            self._stop_if_abandoned()
            try:
                raw = next(source, None)
            except READ_ERRORS:
                self.damaged |= self._breaks_off
                return
            if raw is None or raw.size == 0:
                if raw is None or raw.pts is None:
                    return
                continue
            if raw.is_corrupt:
                self.damaged = True
                # A picture from half a packet is no picture; only MPEG streams mark whole packets as well.
                if self.container not in ("mpegts", "mpegps"):
                    continue
            shown = not raw.is_discard and (shows is None or _shows(raw, shows))
            yield Packet(raw.pts, raw.dts, raw.is_keyframe, shown, raw)

    def _stop_if_abandoned(self) -> None:
        if self._should_stop():
            raise ClientClosed("the request was abandoned while its video was read")

    def decode(self, packet: Packet | None) -> list[Picture]:
        """Feed a packet, or None to drain; the pictures that come out, in presentation order."""
        self._stop_if_abandoned()
        if packet is not None and packet.payload.has_sidedata("encryption_info"):
            raise _encrypted()
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
                raise _too_large(frame.width, frame.height, self._limits)
        return [Picture(frame) for frame in frames]

    def explain_nothing(self) -> MediaError:
        """Why not one picture came out."""
        if self._refused_size:
            return ResolutionTooLarge("the pictures are too large", hint=f"at most {self._limits.max_pixels} pixels")
        width, height = self._size_from_header()
        if width * height > self._limits.max_pixels:
            return _too_large(width, height, self._limits)
        return VideoCorrupt("not one frame of the video could be decoded", hint="was the whole file sent?")

    def _size_from_header(self) -> tuple[int, int]:
        """Declared width and height: where a decoder refuses a size, already in probing, FFmpeg forgets it."""
        self._reader.seek(0)
        with suppress(MediaError), _open_container(self._reader, self._limits, decoders=NO_DECODER) as container:
            for stream in container.streams.video:
                if stream.index == self._stream.index:
                    return stream.codec_context.width, stream.codec_context.height
        return 0, 0

    def forget(self) -> None:
        """Drop the decoder's state before feeding it from another place."""
        self._stream.codec_context.flush_buffers()

    def seek(self, timestamp: int) -> bool:
        """Move to a key frame that the container holds to be at or before ``timestamp``; it may be later."""
        try:
            self._container.seek(timestamp, stream=self._stream, backward=True)
        except (av.FFmpegError, OverflowError):
            return False
        return True

    # The container's own index -----------------------------------------------------------------------

    @property
    def index(self) -> ContainerIndex | None:
        """The container's index as far as it is known so far; None where it has none."""
        entries = self._stream.index_entries
        length = len(entries)
        if not length:
            return None
        return ContainerIndex(
            length=length,
            counts_frames=self._counts_frames(entries, length),
            first=entries[0].timestamp,
            last=entries[length - 1].timestamp,
        )

    @staticmethod
    def _counts_frames(entries: av.index.IndexEntries, length: int) -> bool:
        """Whether each entry looks like a frame: none at the ends is hidden or empty, and times rise evenly.

        Each entry costs a little to ask, so in between only some are. Entries that hold no frame bend the line of
        times, as an uneven rate does: then it takes all packets to tell.
        """
        ends = chain(range(min(length, INDEX_END_ENTRIES)), range(max(0, length - INDEX_END_ENTRIES), length))
        if any(entries[position].is_discard or not entries[position].size for position in ends):
            return False
        some = range(0, length, max(1, length // INDEX_SAMPLES))
        return on_a_line([(position, entries[position].timestamp) for position in some])

    @property
    def index_length(self) -> int:
        """Entries of the container's index that are known so far."""
        return len(self._stream.index_entries)

    def index_position(self, timestamp: int) -> int | None:
        """Position in the index of the last key entry at or before ``timestamp``."""
        position = self._stream.index_entries.search_timestamp(timestamp)
        return position if position >= 0 else None

    def index_timestamp(self, position: int) -> int:
        """Timestamp of an entry of the index (decoding time in MP4, presentation time in Matroska)."""
        return self._stream.index_entries[position].timestamp


def _shows(raw: av.packet.Packet[av.video.stream.VideoStream], shows: ShowsPicture) -> bool:
    """Whether a packet holds a picture for display; a whole copy of it is made only where its head does not tell."""
    view = memoryview(raw)
    size = len(view)
    return shows(bytes(view[:HEAD_BYTES]), size) or (size > HEAD_BYTES and shows(bytes(view), size))


def _open_container(
    reader: DescriptorReader, limits: MediaLimits, *, decoders: str | None = None
) -> av.container.InputContainer:
    """Open what is let in; ``decoders`` are those that may look into the packets, if not all of them."""
    accepted = ACCEPTED[limits.codecs]
    options = {
        "protocol_whitelist": "",
        "format_whitelist": accepted.format_whitelist,
        "codec_whitelist": decoders or accepted.codec_whitelist,
        "max_pixels": str(limits.max_pixels),
        # One more than allowed, so that too many can be told from just enough.
        "max_streams": str(limits.max_streams + 1),
        "probesize": str(limits.probe_bytes),
        "analyzeduration": str(limits.probe_us),
    }
    try:
        container = av.open(reader, mode="r", options=options, metadata_errors="replace", buffer_size=READ_BUFFER_BYTES)
    except (av.FFmpegError, OSError, ValueError, RuntimeError, MemoryError) as exc:
        found = container_by_signature(reader)
        if found in accepted.containers.values():
            raise VideoCorrupt("the video's headers are damaged or missing", hint="was the whole file sent?") from exc
        raise refused_container(found, limits.codecs) from exc
    if container.format.name not in accepted.containers:
        name = container.format.name
        container.close()
        raise refused_container(name, limits.codecs)
    if accepted.containers[container.format.name] == "asf" and is_protected(reader.read_at):
        container.close()
        raise _encrypted()
    return container


def _candidates(container: av.container.InputContainer, limits: MediaLimits) -> list[StreamCandidate]:
    """The video streams as the container declares them."""
    if len(container.streams) > limits.max_streams:
        raise TooManyStreams(f"the file has more than {limits.max_streams} streams")
    return [_candidate(stream) for stream in container.streams.video]


def _candidate(stream: av.video.stream.VideoStream) -> StreamCandidate:
    decoder = _decoder_name(stream)
    return StreamCandidate(
        index=stream.index,
        width=stream.codec_context.width if decoder is not None else 0,
        height=stream.codec_context.height if decoder is not None else 0,
        decoder=decoder,
        is_default=bool(stream.disposition & av.stream.Disposition.default),
        is_thumbnail=bool(stream.disposition & THUMBNAIL),
        frames=stream.frames,
        entries=len(stream.index_entries),
    )


def _video_stream(container: av.container.InputContainer, index: int) -> av.video.stream.VideoStream:
    """Stream ``index`` of a file that was opened before."""
    for stream in container.streams.video:
        if stream.index == index:
            return stream
    raise VideoCorrupt("the file opens otherwise than before")


def _decoder_name(stream: av.video.stream.VideoStream) -> str | None:
    context: av.video.codeccontext.VideoCodecContext | None = stream.codec_context  # None without a decoder
    return None if context is None else context.codec.name


def _refusal(stream: av.video.stream.VideoStream, limits: MediaLimits) -> MediaError:
    if _decoder_name(stream) is None:
        return UnsupportedCodec(
            "no decoder knows the codec of the video stream", hint="convert it to H.264 with what wrote it"
        )
    codec = stream.codec_context.codec
    return refused_codec(codec.canonical_name, codec.name, codec.long_name, limits.codecs)


def _encrypted() -> VideoCorrupt:
    return VideoCorrupt("the video is encrypted", hint="send it without copy protection")


def _too_large(width: int, height: int, limits: MediaLimits) -> ResolutionTooLarge:
    return ResolutionTooLarge(
        f"pictures of {width}x{height} pixels are too large", hint=f"at most {limits.max_pixels} pixels a picture"
    )
