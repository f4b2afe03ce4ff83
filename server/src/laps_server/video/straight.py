"""The last resort and the yardstick: decode from the first packet on and count frames in output order.

It trusts no timestamp, so it is right for any file that decodes; it costs the decoding of everything up to
the last frame wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Container

from laps_server.video.decode import Picture, VideoFile


def decode_counting(
    video: VideoFile,
    wanted: Container[int],
    keep: Callable[[int, Picture], None],
    *,
    max_frames: int,
) -> int:
    """Decode ``video`` from its start; hand the frames with a wanted number to ``keep``.

    Stops at the end or at ``max_frames``. Returns the number of frames decoded.
    """
    video.rewind()
    number = 0
    packets = video.packets()
    draining = False
    while not draining:
        packet = next(packets, None)
        draining = packet is None
        for picture in video.decode(packet):
            if number in wanted:
                keep(number, picture)
            number += 1
            if number >= max_frames:
                return number
    return number
