"""The video streams of an open container: what they declare, and how many packets they have."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

import av
import av.container
import av.stream
import av.video.codeccontext
import av.video.stream

from laps_server.errors import MediaError, TooManyStreams, UnsupportedCodec, VideoCorrupt
from laps_server.video.accepted_formats import refused_codec
from laps_server.video.limits import MediaLimits
from laps_server.video.stream_choice import StreamCandidate

# What reading on may raise; IndexError where a stream appears that was not there when the file was opened.
READ_ERRORS = (av.FFmpegError, OSError, ValueError, IndexError)
THUMBNAIL = (
    av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails | av.stream.Disposition.still_image
)
# To see which of several streams have packets: so many of each are enough, and no more than this is read.
ENOUGH_PACKETS = 32
MAX_COUNTED_PACKETS = 8192
MAX_COUNTED_BYTES = 32 * 1024 * 1024


def stream_candidates(container: av.container.InputContainer, limits: MediaLimits) -> list[StreamCandidate]:
    """The video streams as the container declares them.

    Raises:
        TooManyStreams: it has more streams of any kind than the limit.
    """
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


def _decoder_name(stream: av.video.stream.VideoStream) -> str | None:
    context: av.video.codeccontext.VideoCodecContext | None = stream.codec_context  # None without a decoder
    return None if context is None else context.codec.name


def count_packets(
    container: av.container.InputContainer, indices: list[int], bytes_read: Callable[[], int]
) -> Mapping[int, int]:
    """How many packets each of some streams has, up to a limit; the container's position is moved.

    ``bytes_read`` is asked at every packet, and may raise to stop.
    """
    counts = dict.fromkeys(indices, 0)
    discard_others(container, indices)
    with suppress(*READ_ERRORS):  # damage is reported when the video itself is read
        for packet in container.demux([container.streams[index] for index in indices]):
            position = bytes_read()
            counts[packet.stream.index] += packet.size > 0
            if min(counts.values()) >= ENOUGH_PACKETS or sum(counts.values()) >= MAX_COUNTED_PACKETS:
                break
            if position >= MAX_COUNTED_BYTES:
                break
    return counts


def discard_others(container: av.container.InputContainer, indices: Iterable[int]) -> None:
    """Have the demuxer skip the packets of all streams but those of ``indices``."""
    kept = set(indices)
    for stream in container.streams:
        if stream.index not in kept:
            stream.discard = av.stream.Discard.all


def video_stream(container: av.container.InputContainer, index: int) -> av.video.stream.VideoStream:
    """Stream ``index`` of a file that was opened before."""
    for stream in container.streams.video:
        if stream.index == index:
            return stream
    raise VideoCorrupt("the file opens otherwise than before")


def refused_stream(stream: av.video.stream.VideoStream, limits: MediaLimits) -> MediaError:
    """What is said of a stream that no decoder on the list takes."""
    if _decoder_name(stream) is None:
        return UnsupportedCodec(
            "no decoder knows the codec of the video stream", hint="convert it to H.264 with what wrote it"
        )
    codec = stream.codec_context.codec
    return refused_codec(codec.canonical_name, decoder=codec.name, title=codec.long_name, chosen=limits.codecs)
