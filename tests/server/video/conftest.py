"""What several tests of the decoder count."""

from __future__ import annotations

import pytest

from laps_server.video.decode import Packet, Picture, VideoFile


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by the number of pictures at every call of the decoder."""
    calls: list[int] = []
    original = VideoFile.decode

    def counting(self: VideoFile, packet: Packet | None) -> list[Picture]:
        pictures = original(self, packet)
        calls.append(len(pictures))
        return pictures

    monkeypatch.setattr(VideoFile, "decode", counting)
    return calls
