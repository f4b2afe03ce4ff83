"""What a file says of its video stream."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What the container and the decoder say of a video stream.

    ``width`` and ``height`` are coded pixels, before ``rotation`` (degrees clockwise that frames are
    turned for display, one of 0, 90, 180, 270). ``fps``, ``duration_s`` and ``frame_count`` are None where the
    container does not say or says something absurd. ``sample_aspect_ratio`` is reported, never applied.
    ``stream_index`` counts all streams of the file, sound among them.
    """

    container: str
    codec: str
    width: int
    height: int
    fps: float | None
    duration_s: float | None
    frame_count: int | None
    rotation: int
    sample_aspect_ratio: str | None
    stream_index: int
