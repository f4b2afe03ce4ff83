"""One video in, its Parts out: the narrow function that a sandboxed process will run.

A descriptor and plain options go in, plain frozen data comes out, clip by clip. Each distinct frame is converted,
turned upright and resized as soon as it is decoded; nothing of native size and nothing beyond the crops' need is kept,
and what no later clip uses is let go of when its Part is made, so memory grows neither with the video nor with the
shape of its pictures.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np

from laps_server.arrays import UInt8Array
from laps_server.errors import ResolutionTooLarge, VideoCorrupt
from laps_server.part import MediaWarning, Part, join_pixels
from laps_server.video.clip_plan import WholeClips
from laps_server.video.decode import Picture, VideoFile
from laps_server.video.limits import MediaLimits
from laps_server.video.preprocess import needed_pixels, resize_short_side, resized_size, thumbnail
from laps_server.video.sampler import Sampler
from laps_server.video.sampling import Sampling
from laps_server.video_info import VideoInfo
from laps_server.view_grid import SamplingRule, ViewGrid

Thumbnails = Literal["none", "middle", "all"]

WHOLE_VIDEO_S = Fraction(2**62)  # a window that holds any video
# Of what a video's pictures may take, half is for the decoder and half for Parts that it has handed over.
SHARE = 2

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ExtractOptions:
    """What a model and its request want of a video; sizes in pixels.

    Attributes:
        grid: temporal and spatial views of every segment.
        frames, stride: T frames a clip, ``stride`` frames apart.
        short_side: length of the short side after the resize.
        crop_height, crop_width: size of every crop, at most ``short_side``.
        thumbnails: of which sampled frames of a segment a small JPEG is made.
        window_s: length of the segments that the video is cut into.
        early: whether somebody waits for the first clip. Decoder and engine then work side by side from the first on,
            which takes a few per cent more of processors that they share.
        sampling: by which rule clips are placed in a segment's time.
    """

    grid: ViewGrid
    frames: int
    stride: int
    short_side: int
    crop_height: int
    crop_width: int
    thumbnails: Thumbnails = "none"
    window_s: Fraction = WHOLE_VIDEO_S
    sampling: SamplingRule = "laps_uniform"
    early: bool = True

    def __post_init__(self) -> None:
        if min(self.frames, self.stride, self.crop_height, self.crop_width) < 1:
            raise ValueError(f"frames, stride and crop must be at least 1, not {self}")
        if max(self.crop_height, self.crop_width) > self.short_side:
            raise ValueError(
                f"a crop of {self.crop_width}x{self.crop_height} does not fit in a short side of {self.short_side}"
            )


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
    kept = _Kept(options, limits)
    with _impossible_numbers(), VideoFile(file, limits=limits, threads=threads, should_stop=should_stop) as video:
        sampling = Sampling(options.frames, options.stride, options.grid.temporal, options.sampling)
        sampler = Sampler(video, sampling, options.window_s, limits, early=options.early)
        for clips in sampler.run(kept.keep, kept.drop_all):
            # Not by way of a name: it would hold the pictures while the next ones are decoded.
            yield kept.part(clips, sampler.info, [MediaWarning("video", text) for text in video.warnings])


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

    def __init__(self, options: ExtractOptions, limits: MediaLimits) -> None:
        self._options = options
        self._limits = limits
        self._max_bytes = limits.max_kept_bytes // SHARE
        self._size_bytes = 0
        self._frames: dict[int, _KeptFrame] = {}

    def keep(self, key: int, picture: Picture) -> None:
        """Take what the crops need of ``picture``; raises ResolutionTooLarge where that is too much."""
        options = self._options
        _refuse_elongated(picture, options.short_side, self._limits)
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
        small = b"" if options.thumbnails == "none" else thumbnail(resized)
        self._frames[key] = _KeptFrame((height, width), pixels, small)

    def drop_all(self) -> None:
        """Forget everything."""
        self._frames.clear()
        self._size_bytes = 0

    def part(self, whole: WholeClips, video: VideoInfo, notes: Iterable[MediaWarning]) -> Part:
        """The clips as a Part; what no later clip of the segment uses does not stay here."""
        options, plan = self._options, whole.plan
        clips = plan.clips[whole.clips.start : whole.clips.stop]
        places, positions = np.unique(clips, return_inverse=True)
        frames = [self._frames[plan.keys[place]] for place in places]
        pixels, offsets = join_pixels([frame.pixels for frame in frames])
        part = Part(
            segment=whole.segment,
            ordinal=whole.ordinal,
            segments_total=whole.segments_total,
            video=video,
            grid=options.grid,
            clips=whole.clips,
            frames=tuple(plan.frames[place] for place in places),
            places=tuple(int(place) for place in places),
            sizes=tuple(frame.size for frame in frames),
            pixels=pixels,
            offsets=offsets,
            clip_frames=positions.reshape(clips.shape).astype(np.intp),
            crop_height=options.crop_height,
            crop_width=options.crop_width,
            thumbnails=self._thumbnails(places.tolist(), frames, middle=len(plan.keys) // 2),
            warnings=(*whole.warnings, *notes),
        )
        self._let_go(whole)
        return part

    def _thumbnails(self, places: list[int], frames: list[_KeptFrame], *, middle: int) -> tuple[bytes, ...]:
        match self._options.thumbnails:
            case "none":
                return ()
            case "middle":
                return tuple(
                    frame.thumbnail if place == middle else b"" for place, frame in zip(places, frames, strict=True)
                )
            case "all":
                return tuple(frame.thumbnail for frame in frames)

    def _let_go(self, whole: WholeClips) -> None:
        later = whole.plan.clips[whole.clips.stop :]
        needed = {whole.plan.keys[place] for place in np.unique(later)}
        for key in [key for key in self._frames if key not in needed]:
            self._size_bytes -= self._frames.pop(key).pixels.nbytes


def _refuse_elongated(picture: Picture, short_side: int, limits: MediaLimits) -> None:
    """A strip becomes a giant once its short side is the model's: it is refused before anything is made of it."""
    width, height = picture.size
    if max(width, height) > limits.max_aspect_ratio * min(width, height):
        raise ResolutionTooLarge(
            f"pictures of {width}x{height} pixels are too elongated",
            hint=f"the long side may be at most {limits.max_aspect_ratio} times the short one",
        )
    new_height, new_width = resized_size(height, width, short_side)
    if new_height * new_width > limits.max_pixels:
        raise ResolutionTooLarge(
            f"pictures of {width}x{height} pixels are too elongated to be resized",
            hint=f"at most {limits.max_pixels} pixels once the short side is {short_side}",
        )
