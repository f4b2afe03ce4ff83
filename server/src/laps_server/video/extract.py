"""One video in, the frames of all its views out: the narrow function that a sandboxed process will run.

A descriptor and plain options go in, plain arrays come out. Each distinct frame is converted, turned upright
and resized as soon as it is decoded; nothing of native size and nothing beyond the crops' need is kept, so memory
grows neither with the video nor with the shape of its pictures.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from laps_server.clips import FrameBatch, UInt8Array, VideoInfo, ViewGrid
from laps_server.errors import ResolutionTooLarge, VideoCorrupt
from laps_server.video.decode import Picture, VideoFile
from laps_server.video.limits import MediaLimits
from laps_server.video.preprocess import needed_pixels, resize_short_side, resized_size, thumbnail
from laps_server.video.sampling import Sampling
from laps_server.video.views import Sampler

__all__ = ["ExtractOptions", "Extraction", "MediaLimits", "extract_views"]

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ExtractOptions:
    """What a model wants of a video; sizes in pixels.

    Attributes:
        grid: temporal and spatial views.
        frames, stride: T frames a clip, ``stride`` frames apart.
        short_side: length of the short side after the resize.
        crop_height, crop_width: size of every crop, at most ``short_side``.
        thumbnails: whether a small JPEG of each sampled frame is made.
        threads: decoder threads.
    """

    grid: ViewGrid
    frames: int
    stride: int
    short_side: int
    crop_height: int
    crop_width: int
    thumbnails: bool = False
    limits: MediaLimits = field(default_factory=MediaLimits)
    threads: int = 1

    def __post_init__(self) -> None:
        if min(self.frames, self.stride, self.crop_height, self.crop_width, self.threads) < 1:
            raise ValueError(f"frames, stride, crop and threads must be at least 1, not {self}")
        if max(self.crop_height, self.crop_width) > self.short_side:
            raise ValueError(
                f"a crop of {self.crop_width}x{self.crop_height} does not fit in a short side of {self.short_side}"
            )


@dataclass(frozen=True, slots=True)
class Extraction:
    """A video's facts, the frames of its views, and what the client should know about them.

    ``thumbnails`` holds one JPEG for each of ``batch.frames``, or nothing where they were not asked for.
    """

    info: VideoInfo
    batch: FrameBatch
    thumbnails: tuple[bytes, ...]
    warnings: tuple[str, ...]


def _never() -> bool:
    return False


def extract_views(file: int, options: ExtractOptions, *, should_stop: Callable[[], bool] = _never) -> Extraction:
    """Decode what the views of ``options`` need from the open, seekable descriptor ``file``.

    The descriptor is neither closed nor moved. ``should_stop`` is asked at every packet; once it is true,
    :class:`laps_server.errors.ClientClosed` is raised. Other errors are those of ``MediaError``.
    """
    sampling = Sampling(options.frames, options.stride, options.grid.temporal)
    kept = _Kept(options)
    try:
        with VideoFile(file, limits=options.limits, threads=options.threads, should_stop=should_stop) as video:
            sampler = Sampler(video, sampling, options.limits)
            plan = sampler.run(kept.keep, kept.drop_all)
            warnings = (*sampler.warnings, *video.warnings)
    except (ArithmeticError, ValueError) as exc:
        # A file may hold any number: what overflows, divides by zero or has no meaning is the file's fault here.
        _LOG.warning("a video's numbers could not be worked with", exc_info=exc)
        raise VideoCorrupt("the video's headers or timestamps hold impossible numbers") from exc
    frames = [kept.frames[key] for key in plan.keys]
    batch = FrameBatch(
        grid=options.grid,
        frames=plan.frames,
        sizes=tuple(frame.size for frame in frames),
        pixels=tuple(frame.pixels for frame in frames),
        clip_frames=plan.clips,
        crop_height=options.crop_height,
        crop_width=options.crop_width,
    )
    return Extraction(
        info=sampler.info,
        batch=batch,
        thumbnails=tuple(frame.thumbnail for frame in frames) if options.thumbnails else (),
        warnings=warnings,
    )


@dataclass(frozen=True, slots=True)
class _KeptFrame:
    """What stays of a picture: ``size`` is height and width after the resize, ``thumbnail`` empty if not wanted."""

    size: tuple[int, int]
    pixels: UInt8Array
    thumbnail: bytes


class _Kept:
    """The frames kept so far, by their keys, and the bound on what they take together."""

    def __init__(self, options: ExtractOptions) -> None:
        self._options = options
        self._size_bytes = 0
        self.frames: dict[int, _KeptFrame] = {}

    def keep(self, key: int, picture: Picture) -> None:
        """Take what the crops need of ``picture``; raises ResolutionTooLarge where that is too much."""
        options = self._options
        _refuse_elongated(picture, options)
        resized = resize_short_side(picture.rgb(), options.short_side)
        pixels = needed_pixels(resized, options.crop_height, options.crop_width, options.grid.spatial)
        replaced = self.frames.get(key)
        self._size_bytes += pixels.nbytes - (replaced.pixels.nbytes if replaced else 0)
        if self._size_bytes > options.limits.max_kept_bytes:
            raise ResolutionTooLarge(
                f"the frames of {options.grid} views take too much memory",
                hint=f"ask for fewer views; the frames of all views may take {options.limits.max_kept_bytes} bytes",
            )
        height, width = resized.shape[:2]
        self.frames[key] = _KeptFrame((height, width), pixels, thumbnail(resized) if options.thumbnails else b"")

    def drop_all(self) -> None:
        """Forget everything."""
        self.frames.clear()
        self._size_bytes = 0


def _refuse_elongated(picture: Picture, options: ExtractOptions) -> None:
    """A strip becomes a giant once its short side is the model's: it is refused before anything is made of it."""
    width, height = picture.size
    limits = options.limits
    if max(width, height) > limits.max_aspect_ratio * min(width, height):
        raise ResolutionTooLarge(
            f"pictures of {width}x{height} pixels are too elongated",
            hint=f"the long side may be at most {limits.max_aspect_ratio} times the short one",
        )
    new_height, new_width = resized_size(height, width, options.short_side)
    if new_height * new_width > limits.max_pixels:
        raise ResolutionTooLarge(
            f"pictures of {width}x{height} pixels are too elongated to be resized",
            hint=f"at most {limits.max_pixels} pixels once the short side is {options.short_side}",
        )
