"""One video in, its Parts out: the narrow function that a sandboxed process will run.

A descriptor and plain options go in, plain frozen data comes out, clip by clip. Each distinct frame is converted,
turned upright and resized as soon as it is decoded. Nothing of native size is kept, nothing beyond what the crops need,
and nothing that no later clip uses: memory grows neither with the video nor with the shape of its frames.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager

from laps_server.errors import VideoCorrupt
from laps_server.part import MediaWarning, Part
from laps_server.video.av_file.video_file import VideoFile
from laps_server.video.extract_options import ExtractOptions
from laps_server.video.kept_frames import KeptFrames
from laps_server.video.limits import MediaLimits
from laps_server.video.sampler import Sampler
from laps_server.video.sampling.sampling import Sampling

_LOG = logging.getLogger(__name__)


def _never() -> bool:
    return False


def extract_parts(
    file: int,
    options: ExtractOptions,
    *,
    limits: MediaLimits,
    threads: int = 1,
    should_stop: Callable[[], bool] = _never,
) -> Generator[Part, None, None]:
    """Decode what the views of ``options`` need, and yield it in the plan's order.

    What comes next is decoded when it is asked for. Where the video cannot be decoded to its end, the last Part is none
    that ends the video.

    Args:
        file: open, seekable descriptor; neither closed nor moved.
        options: what is wanted.
        limits: what the video may cost.
        threads: decoder threads.
        should_stop: asked at every packet; once it is true, :class:`laps_server.errors.ClientClosed` is raised.

    Raises:
        MediaError: the file cannot be used.
        BadParameter: it has more segments than the limit.
    """
    kept = KeptFrames(options, limits)
    with _impossible_numbers(), VideoFile(file, limits=limits, threads=threads, should_stop=should_stop) as video:
        sampling = Sampling(
            frames=options.frames, stride=options.stride, views=options.grid.temporal, rule=options.sampling
        )
        sampler = Sampler(video, sampling, options.window_s, limits=limits, early=options.early)
        for clips in sampler.run(kept.keep, kept.drop_all):
            # Not by way of a name: it would hold the frames while the next ones are decoded.
            yield kept.part(clips, sampler.info, [MediaWarning("video", text) for text in video.warnings])


@contextmanager
def _impossible_numbers() -> Iterator[None]:
    """A file may hold any number: what overflows, divides by zero or has no meaning is the file's fault here."""
    try:
        yield
    except (ArithmeticError, ValueError) as exc:
        _LOG.warning("a video's numbers could not be worked with", exc_info=exc)
        raise VideoCorrupt("the video's headers or timestamps hold impossible numbers") from exc
