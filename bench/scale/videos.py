"""The video of the machinery's measurements: two seconds of a street, 320 x 240."""

from __future__ import annotations

from pathlib import Path

import av
from bench.subjects import FOLDER, clip

SECONDS = 2
WIDTH, HEIGHT = 320, 240


def short_clip() -> Path:
    """The first seconds of the benchmark's clip, smaller, by libx264 at its defaults."""
    path = FOLDER / "clip-2s.mp4"
    if path.exists():
        return path
    part = path.with_suffix(".part.mp4")
    with av.open(str(clip())) as source, av.open(str(part), "w") as out:
        given = source.streams.video[0]
        stream = out.add_stream("libx264", rate=given.average_rate)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for frame in source.decode(given):
            if frame.time >= SECONDS:
                break
            small = frame.reformat(width=WIDTH, height=HEIGHT)
            small.pts = None
            out.mux(stream.encode(small))
        out.mux(stream.encode(None))
    part.rename(path)
    return path
