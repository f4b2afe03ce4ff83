"""What several tests of the decoder count."""

from __future__ import annotations

import pytest

from laps_server.video.av_file.decoded_frame import DecodedFrame
from laps_server.video.av_file.packet import Packet
from laps_server.video.av_file.video_file import VideoFile


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by the number of frames at every call of the decoder."""
    counts: list[int] = []
    original = VideoFile.decode

    def counting(self: VideoFile, packet: Packet | None) -> list[DecodedFrame]:
        frames = original(self, packet)
        counts.append(len(frames))
        return frames

    monkeypatch.setattr(VideoFile, "decode", counting)
    return counts
