"""What a clip's frames cost: fetched by the server's own code in this process, and by FFmpeg with nothing around it."""

from __future__ import annotations

import os
from bisect import bisect_right
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import av
import numpy as np

from laps_server.arrays import UInt8Array
from laps_server.part import Part
from laps_server.video.extract import extract_parts
from laps_server.video.extract_options import ExtractOptions
from laps_server.video.limits import MediaLimits
from laps_server.video.preprocess import assemble_clip


def extract(path: Path, options: ExtractOptions) -> list[Part]:
    """All Parts of a video, by the server's selective decoding."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return list(extract_parts(descriptor, options, limits=MediaLimits()))
    finally:
        os.close(descriptor)


def views_of(parts: list[Part]) -> UInt8Array:
    """``[V, T, H, W, 3]``: every view as the engine gets it."""
    return np.stack([assemble_clip(part, view) for part in parts for view in part.views])


@dataclass(frozen=True)
class Plan:
    """Which frames are wanted, by group: a key frame to enter at, and the times wanted behind it, in order."""

    groups: tuple[tuple[int, tuple[int, ...]], ...]

    @classmethod
    def of(cls, path: Path, parts: list[Part]) -> Plan:
        """For the frames that ``parts`` hold; read beforehand, so that following it is decoding alone."""
        with av.open(str(path)) as container:
            packets = [packet for packet in container.demux(video=0) if packet.pts is not None]
        times = sorted(packet.pts or 0 for packet in packets)
        keys = sorted(packet.pts or 0 for packet in packets if packet.is_keyframe)
        wanted = sorted({times[0] + frame.pts for part in parts for frame in part.frames})

        def key_before(pts: int) -> int:
            return keys[bisect_right(keys, pts) - 1]

        return cls(tuple((key, tuple(group)) for key, group in groupby(wanted, key_before)))


def ffmpeg(path: Path, plan: Plan, *, to_rgb: bool) -> int:
    """Decode the frames of a plan, with or without turning them into RGB; how many came."""
    came = 0
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type, stream.codec_context.thread_count = "NONE", 1
        for key, group in plan.groups:
            if key != plan.groups[0][0]:
                container.seek(key, stream=stream)
            wanted = set(group)
            for frame in container.decode(stream):
                if frame.pts in wanted:
                    came += 1
                    if to_rgb:
                        frame.to_ndarray(format="rgb24")
                if frame.pts is not None and frame.pts >= group[-1]:
                    break
    return came
