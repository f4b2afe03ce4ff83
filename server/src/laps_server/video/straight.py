"""The last resort and the yardstick: decode from the first packet on and count frames in output order.

It trusts no timestamp, so it is right for any file that decodes; it costs the decoding of everything up to
the last frame wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator

from laps_server.video.decode import Picture, VideoFile


def counted(video: VideoFile) -> Iterator[tuple[int, Picture]]:
    """Decode ``video`` from its start to its end; yield each picture with its number in output order."""
    video.rewind()
    number = 0
    packets = video.packets()
    draining = False
    while not draining:
        packet = next(packets, None)
        draining = packet is None
        for picture in video.decode(packet):
            yield number, picture
            number += 1


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
    found = 0
    for number, picture in counted(video):
        if number in wanted:
            keep(number, picture)
        found = number + 1
        if found >= max_frames:
            break
    return found
