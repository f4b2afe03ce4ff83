"""What is said of a file that is not taken, where several places say it."""

from __future__ import annotations

from laps_server.errors import ResolutionTooLarge, VideoCorrupt
from laps_server.video.limits import MediaLimits


def encrypted() -> VideoCorrupt:
    """The file holds a video that is locked."""
    return VideoCorrupt("the video is encrypted", hint="send it without copy protection")


def too_large(width: int, height: int, limits: MediaLimits) -> ResolutionTooLarge:
    """Frames of ``width`` by ``height`` are beyond the limit."""
    return ResolutionTooLarge(
        f"pictures of {width}x{height} pixels are too large", hint=f"at most {limits.max_pixels} pixels a picture"
    )
