"""Open a container under allow lists and limits, or say what is wrong with it."""

from __future__ import annotations

import av
import av.container

# PyAV imports it at the first file with subtitles, where a confined decoder can open no module any more.
import av.subtitles.codeccontext

from laps_server.errors import VideoCorrupt
from laps_server.video.accepted_formats import ACCEPTED, refused_container
from laps_server.video.asf import is_protected
from laps_server.video.av_file.refusals import encrypted
from laps_server.video.container_signatures import container_by_signature
from laps_server.video.descriptor_reader import DescriptorReader
from laps_server.video.limits import MediaLimits

READ_BUFFER_BYTES = 128 * 1024
NO_DECODER = "none"  # an allow list without a decoder's name on it: an empty one would let all in


def open_container(
    reader: DescriptorReader, limits: MediaLimits, *, decoders: str | None = None
) -> av.container.InputContainer:
    """Open a container that is on the list.

    Args:
        reader: the file's bytes, at its beginning.
        limits: what may be opened, and how much of it is read for that.
        decoders: which decoders may look into the packets, if not all of those accepted.

    Raises:
        UnsupportedContainer: it is not on the list.
        VideoCorrupt: it is, and is damaged or encrypted.
    """
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
            # How FFmpeg's demuxers say that a header wants more streams, or memory, than they may have.
            many = f", or name more than {limits.max_streams} streams" if isinstance(exc, MemoryError) else ""
            raise VideoCorrupt(
                f"the video's headers are damaged or missing{many}", hint="was the whole file sent?"
            ) from exc
        raise refused_container(found, limits.codecs) from exc
    if container.format.name not in accepted.containers:
        name = container.format.name
        container.close()
        raise refused_container(name, limits.codecs)
    if accepted.containers[container.format.name] == "asf" and is_protected(reader.read_at):
        container.close()
        raise encrypted()
    return container
