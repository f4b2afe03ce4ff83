"""What several tests of the decoder decode and count."""

from __future__ import annotations

from pathlib import Path

import pytest

from laps_server.video.av_file.decoded_frame import DecodedFrame
from laps_server.video.av_file.packet import Packet
from laps_server.video.av_file.video_file import VideoFile
from support.numbered_videos import encode


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


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds of H.264 with its index in front; whoever wants to damage it makes a copy."""
    options = {"preset": "veryfast", "g": "20", "bf": "3"}
    path = tmp_path_factory.mktemp("good") / "good.mp4"
    return encode(path, "libx264", count=150, options=options, muxer_options={"movflags": "faststart"})
