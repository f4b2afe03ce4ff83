"""One video in, the frames of all its views out: the narrow function that a sandboxed process will run.

A descriptor and plain options go in, plain arrays come out. Each distinct frame is converted, turned upright
and resized as soon as it is decoded; nothing of native size is kept, so memory does not grow with the video.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from laps_server.clips import FrameBatch, UInt8Array, VideoInfo, ViewGrid
from laps_server.errors import ResolutionTooLarge
from laps_server.video.decode import Picture, VideoFile
from laps_server.video.limits import MediaLimits
from laps_server.video.preprocess import resize_short_side, resized_size, thumbnail
from laps_server.video.sampling import Sampling
from laps_server.video.views import Sampler

__all__ = ["ExtractOptions", "Extraction", "MediaLimits", "extract_views"]


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
    pictures: dict[int, UInt8Array] = {}

    def keep(key: int, picture: Picture) -> None:
        pictures[key] = _resized(picture.rgb(), options)

    with VideoFile(file, limits=options.limits, threads=options.threads, should_stop=should_stop) as video:
        sampler = Sampler(video, sampling, options.limits)
        plan = sampler.run(keep)
    batch = FrameBatch(
        grid=options.grid,
        frames=plan.frames,
        pixels=tuple(pictures[key] for key in plan.keys),
        clip_frames=plan.clips,
        crop_height=options.crop_height,
        crop_width=options.crop_width,
    )
    return Extraction(
        info=sampler.info,
        batch=batch,
        thumbnails=tuple(thumbnail(pixels) for pixels in batch.pixels) if options.thumbnails else (),
        warnings=(*sampler.warnings, *video.warnings),
    )


def _resized(picture: UInt8Array, options: ExtractOptions) -> UInt8Array:
    """``[h, w, 3]`` with the model's short side; a very long strip would become a giant and is refused."""
    height, width = resized_size(picture.shape[0], picture.shape[1], options.short_side)
    if height * width > options.limits.max_pixels:
        raise ResolutionTooLarge(
            f"pictures of {picture.shape[1]}x{picture.shape[0]} pixels are too elongated to be resized",
            hint=f"at most {options.limits.max_pixels} pixels once the short side is {options.short_side}",
        )
    return resize_short_side(picture, options.short_side)
