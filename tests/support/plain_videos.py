"""Short real videos of plain colours, for tests that care what is answered and not how it is decoded."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

Colour = tuple[int, int, int]

RED: Colour = (220, 20, 20)
GREEN: Colour = (20, 200, 20)
BLUE: Colour = (20, 20, 220)


def write_colour_video(
    path: Path, colours: Sequence[Colour], *, fps: int = 10, width: int = 64, height: int = 48, codec: str = "mpeg4"
) -> Path:
    """Encode one frame a colour; the container follows the file's suffix."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = Fraction(1, fps)
        for number, colour in enumerate(colours):
            picture = np.full((height, width, 3), colour, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
