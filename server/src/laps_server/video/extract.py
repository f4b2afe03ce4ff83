"""One video in, the frames of all its views out: the narrow functions that a sandboxed process will run.

A descriptor and plain options go in, plain arrays come out, all at once or one segment at a time. Each distinct frame
is converted, turned upright and resized as soon as it is decoded; nothing of native size and nothing beyond the crops'
need is kept, so memory grows neither with the video nor with the shape of its pictures.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from laps_server.clips import FrameBatch, SegmentLength, UInt8Array, VideoInfo, ViewGrid
from laps_server.errors import ResolutionTooLarge, VideoCorrupt
from laps_server.video.decode import Picture, VideoFile
from laps_server.video.limits import MediaLimits
from laps_server.video.preprocess import needed_pixels, resize_short_side, resized_size, thumbnail
from laps_server.video.sampling import Sampling
from laps_server.video.segment_sampler import SegmentSampler
from laps_server.video.segments import Segment
from laps_server.video.views import Plan, Sampler

__all__ = [
    "ExtractOptions",
    "Extraction",
    "MediaLimits",
    "SegmentExtraction",
    "SegmentsEnd",
    "extract_segments",
    "extract_views",
]

ALIVE_SEGMENTS = 2  # one is classified while the next one is decoded: each may keep this part of what a video may

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


@dataclass(frozen=True, slots=True)
class SegmentExtraction:
    """One segment of a video, and what is known of the whole by then.

    ``total`` counts the segments of the video. The warnings of ``extraction`` are about this segment,
    ``video_warnings`` about the video.
    """

    segment: Segment
    total: int
    extraction: Extraction
    video_warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SegmentsEnd:
    """Every segment was handed out; ``video_warnings`` are now complete."""

    video_warnings: tuple[str, ...]


def _never() -> bool:
    return False


def extract_views(file: int, options: ExtractOptions, *, should_stop: Callable[[], bool] = _never) -> Extraction:
    """Decode what the views of ``options`` need from the open, seekable descriptor ``file``.

    The descriptor is neither closed nor moved. ``should_stop`` is asked at every packet; once it is true,
    :class:`laps_server.errors.ClientClosed` is raised. Other errors are those of ``MediaError``.
    """
    kept = _Kept(options, max_bytes=options.limits.max_kept_bytes)
    with _impossible_numbers(), _opened(file, options, should_stop) as video:
        sampler = Sampler(video, _sampling(options), options.limits)
        plan = sampler.run(kept.keep, kept.drop_all)
        warnings = (*sampler.warnings, *video.warnings)
    return kept.take(sampler.info, plan, warnings)


def extract_segments(
    file: int, options: ExtractOptions, length: SegmentLength, *, should_stop: Callable[[], bool] = _never
) -> Generator[SegmentExtraction | SegmentsEnd, None, None]:
    """Yield what :func:`extract_views` gives for each segment of the video, in order, and last the end.

    A segment is decoded when it is asked for, and nothing of it is held here once it is handed out. ``should_stop``
    and errors are as there; :class:`laps_server.errors.BadParameter` is raised where there would be too many segments.
    """
    kept = _Kept(options, max_bytes=options.limits.max_kept_bytes // ALIVE_SEGMENTS)
    with _impossible_numbers(), _opened(file, options, should_stop) as video:
        sampler = SegmentSampler(video, _sampling(options), length, options.limits)
        for found in sampler.run(kept.keep, kept.drop_all):
            # Not by way of a name: it would hold the pictures while the next segment is decoded.
            yield SegmentExtraction(
                segment=found.segment,
                total=found.total,
                extraction=kept.take(sampler.info, found.plan, found.warnings),
                video_warnings=(*sampler.warnings, *video.warnings),
            )
        yield SegmentsEnd((*sampler.warnings, *video.warnings))


def _sampling(options: ExtractOptions) -> Sampling:
    return Sampling(options.frames, options.stride, options.grid.temporal)


def _opened(file: int, options: ExtractOptions, should_stop: Callable[[], bool]) -> VideoFile:
    return VideoFile(file, limits=options.limits, threads=options.threads, should_stop=should_stop)


@contextmanager
def _impossible_numbers() -> Iterator[None]:
    """A file may hold any number: what overflows, divides by zero or has no meaning is the file's fault here."""
    try:
        yield
    except (ArithmeticError, ValueError) as exc:
        _LOG.warning("a video's numbers could not be worked with", exc_info=exc)
        raise VideoCorrupt("the video's headers or timestamps hold impossible numbers") from exc


@dataclass(frozen=True, slots=True)
class _KeptFrame:
    """What stays of a picture: ``size`` is height and width after the resize, ``thumbnail`` empty if not wanted."""

    size: tuple[int, int]
    pixels: UInt8Array
    thumbnail: bytes


class _Kept:
    """The frames kept so far, by their keys, and the bound on what they take together."""

    def __init__(self, options: ExtractOptions, *, max_bytes: int) -> None:
        self._options = options
        self._max_bytes = max_bytes
        self._size_bytes = 0
        self._frames: dict[int, _KeptFrame] = {}

    def keep(self, key: int, picture: Picture) -> None:
        """Take what the crops need of ``picture``; raises ResolutionTooLarge where that is too much."""
        options = self._options
        _refuse_elongated(picture, options)
        resized = resize_short_side(picture.rgb(), options.short_side)
        pixels = needed_pixels(resized, options.crop_height, options.crop_width, options.grid.spatial)
        replaced = self._frames.get(key)
        self._size_bytes += pixels.nbytes - (replaced.pixels.nbytes if replaced else 0)
        if self._size_bytes > self._max_bytes:
            raise ResolutionTooLarge(
                f"the frames of {options.grid} views take too much memory",
                hint=f"ask for fewer views; the frames of all views may take {self._max_bytes} bytes",
            )
        height, width = resized.shape[:2]
        self._frames[key] = _KeptFrame((height, width), pixels, thumbnail(resized) if options.thumbnails else b"")

    def drop_all(self) -> None:
        """Forget everything."""
        self._frames.clear()
        self._size_bytes = 0

    def take(self, info: VideoInfo, plan: Plan, warnings: tuple[str, ...]) -> Extraction:
        """What was kept, as the frames of ``plan``; nothing of it stays here."""
        options = self._options
        frames = [self._frames[key] for key in plan.keys]
        self.drop_all()
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
            info=info,
            batch=batch,
            thumbnails=tuple(frame.thumbnail for frame in frames) if options.thumbnails else (),
            warnings=warnings,
        )


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
