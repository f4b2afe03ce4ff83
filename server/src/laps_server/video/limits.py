"""What one video may be and cost, whatever its metadata claims."""

from __future__ import annotations

from dataclasses import dataclass

from laps_server.video.accepted_formats import CodecSet

# Of what the frames of a video may take, half is for the decoder and half for Parts that it has handed over.
MEMORY_SHARES = 2


@dataclass(frozen=True, slots=True)
class MediaLimits:
    """Bounds that hold before and during decoding.

    Attributes:
        max_pixels: pixels of one frame, 33 177 600 being 7680 x 4320; holds for the resized one as well.
        max_aspect_ratio: long side over short side of one frame; real ones stay below, even walls of displays.
        max_kept_bytes: all frames kept for one video's views, 512 MiB.
        max_streams: streams of any kind in the container.
        max_packets: video packets read in one walk through the file.
        max_frames: frames decoded in one pass through the file, unless it is cut into segments.
        max_segments: windows of time that a video may be cut into.
        probe_bytes: bytes read to recognise container and streams.
        probe_us: microseconds of media read to recognise the streams.
        max_fps: frame rates above this are damage.
        codecs: which containers and codecs are let in.
    """

    max_pixels: int = 33_177_600
    max_aspect_ratio: int = 32
    max_kept_bytes: int = 512 * 1024 * 1024
    max_streams: int = 16
    max_packets: int = 2_000_000
    max_frames: int = 200_000
    max_segments: int = 2000
    probe_bytes: int = 5_000_000
    probe_us: int = 5_000_000
    max_fps: int = 1000
    codecs: CodecSet = "standard"
