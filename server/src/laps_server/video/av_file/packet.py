"""One packet of a video stream, before it is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import av.packet
import av.video.stream

from laps_server.video.shown_packets import HEAD_BYTES, ShowsPicture

RawPacket: TypeAlias = "av.packet.Packet[av.video.stream.VideoStream]"


@dataclass(slots=True)
class Packet:
    """One video packet. ``shown`` is false where the decoder gives no frame for it."""

    pts: int | None
    dts: int | None
    key: bool
    shown: bool
    payload: RawPacket


def holds_shown_picture(raw: RawPacket, shows: ShowsPicture) -> bool:
    """Whether a packet holds a picture for display; it is copied whole only where its head does not tell."""
    view = memoryview(raw)
    size = len(view)
    return shows(bytes(view[:HEAD_BYTES]), size) or (size > HEAD_BYTES and shows(bytes(view), size))
