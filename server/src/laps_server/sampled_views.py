"""Views of many videos, as the engine would get them, without running a model: ``laps-server views``.

`laps-export quantize` calibrates and checks a graph with them. It does not decode for itself: views are only right if
they are sampled, resized and cropped as a server does it, and the server has that in one place.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np

from laps_server.arrays import UInt8Array
from laps_server.errors import BadParameter, LapsError
from laps_server.models.manifest import Manifest
from laps_server.video.extract import extract_parts
from laps_server.video.extract_options import WHOLE_VIDEO_S
from laps_server.video.limits import MediaLimits
from laps_server.video.preprocess import assemble_clip
from laps_server.view_options import view_options

WINDOW_S = Fraction(10)  # of a segment, where whole videos have too few views

OnVideo = Callable[[Path, int, LapsError | None], None]


def sample_views(
    manifest: Manifest, videos: Sequence[Path], count: int, *, limits: MediaLimits, on_video: OnVideo, seed: int = 0
) -> Iterator[UInt8Array]:
    """Yield at most ``count`` views, uint8 ``[T, H, W, 3]``, those of one video together, videos in a drawn order.

    Every video gives as many as the others, and more where others cannot. While that is no more than the model's own
    views of a whole video, they are drawn among those; otherwise videos are cut into segments of ten seconds.

    Args:
        manifest: whose views.
        videos: files; one that cannot be decoded is passed over.
        count: how many are wanted; there are fewer if the videos have no more.
        limits: what a video may cost.
        on_video: told of every video, how many views it gave, and what was wrong with it.
        seed: of what is drawn.
    """
    draw = random.Random(seed)
    order = draw.sample(videos, len(videos))
    for place, video in enumerate(order):
        wanted = -(-count // (len(order) - place))  # rounded up
        given, error = 0, None
        try:
            for view in _views(manifest, video, wanted, limits=limits, draw=draw):
                given += 1
                yield view
        except LapsError as exc:
            error = exc
        except OSError as exc:
            error = BadParameter(f"cannot be read: {exc.strerror}")
        count -= given
        on_video(video, given, error)
        if count <= 0:
            return


def _views(
    manifest: Manifest, video: Path, wanted: int, *, limits: MediaLimits, draw: random.Random
) -> Iterator[UInt8Array]:
    """At most ``wanted`` views of one video."""
    grid = manifest.grid
    whole = wanted <= grid.total
    chosen = set(draw.sample(range(grid.total), wanted) if whole else range(grid.total))
    options = view_options(manifest, grid, window_s=WHOLE_VIDEO_S if whole else WINDOW_S)
    descriptor = os.open(video, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with closing(extract_parts(descriptor, options, limits=limits)) as parts:
            # Where a file lied and its segment begins again, what was taken before are real pictures of it too.
            yield from islice(
                (assemble_clip(part, view) for part in parts for view in part.views if view in chosen), wanted
            )
    finally:
        os.close(descriptor)


def write_views(views: Iterator[UInt8Array], shape: tuple[int, ...], path: Path) -> int:
    """Write views of that shape as one ``.npy``, uint8 ``[N, *shape]``, with one of them in memory; returns N."""
    partial = path.with_name(f".{path.name}.part")
    count = 0
    try:
        with partial.open("wb") as file:
            _write_header(file, count, shape)
            for view in views:
                file.write(np.ascontiguousarray(view).data)
                count += 1
            # It is as long as before: numpy leaves room for a larger first number.
            file.seek(0)
            _write_header(file, count, shape)
        if count:
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return count


def _write_header(file: BinaryIO, count: int, shape: tuple[int, ...]) -> None:
    header = {
        "descr": np.lib.format.dtype_to_descr(np.dtype(np.uint8)),
        "fortran_order": False,
        "shape": (count, *shape),
    }
    np.lib.format.write_array_header_1_0(file, header)
