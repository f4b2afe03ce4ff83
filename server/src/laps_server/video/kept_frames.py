"""The frames of a segment's clips between the decoder and a Part: resized, counted in bytes, and dropped when done."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from laps_server.arrays import UInt8Array
from laps_server.errors import ResolutionTooLarge
from laps_server.part import MediaWarning, Part, join_pixels
from laps_server.video.av_file.decoded_frame import DecodedFrame
from laps_server.video.clip_plan import WholeClips
from laps_server.video.extract_options import ExtractOptions
from laps_server.video.limits import MEMORY_SHARES, MediaLimits
from laps_server.video.preprocess import needed_pixels, resize_short_side, resized_size, thumbnail
from laps_server.video_info import VideoInfo


@dataclass(frozen=True, slots=True)
class _KeptFrame:
    """What stays of a frame: ``size`` is height and width after the resize, ``thumbnail`` empty if not wanted."""

    size: tuple[int, int]
    pixels: UInt8Array
    thumbnail: bytes


class KeptFrames:
    """The frames kept so far, by their keys in the plan, and the bound on what they take together."""

    def __init__(self, options: ExtractOptions, limits: MediaLimits) -> None:
        self._options = options
        self._limits = limits
        self._max_bytes = limits.max_kept_bytes // MEMORY_SHARES
        self._size_bytes = 0
        self._frames: dict[int, _KeptFrame] = {}

    def keep(self, key: int, frame: DecodedFrame) -> None:
        """Take what the crops need of ``frame``.

        Raises:
            ResolutionTooLarge: the frames kept take too much memory together.
        """
        options = self._options
        _refuse_elongated(frame, options, self._limits)
        resized = resize_short_side(
            frame.rgb(), options.short_side, long_side=options.long_side, interpolation=options.interpolation
        )
        pixels = needed_pixels(
            resized,
            crop_height=options.crop_height,
            crop_width=options.crop_width,
            count=options.grid.spatial,
            order=options.crop_order,
            offset=options.crop_offset,
        )
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
        """The clips as a Part; frames that no later clip of the segment uses are dropped."""
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
            crop_order=options.crop_order,
            crop_offset=options.crop_offset,
            thumbnails=self._thumbnails(places.tolist(), frames, middle=len(plan.keys) // 2),
            warnings=(*whole.warnings, *notes),
        )
        self._drop_unused(whole)
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

    def _drop_unused(self, whole: WholeClips) -> None:
        later = whole.plan.clips[whole.clips.stop :]
        needed = {whole.plan.keys[place] for place in np.unique(later)}
        for key in [key for key in self._frames if key not in needed]:
            self._size_bytes -= self._frames.pop(key).pixels.nbytes


def _refuse_elongated(frame: DecodedFrame, options: ExtractOptions, limits: MediaLimits) -> None:
    """Refuse a frame that would become huge once its short side is the model's, before anything is made of it."""
    width, height = frame.size
    if max(width, height) > limits.max_aspect_ratio * min(width, height):
        raise ResolutionTooLarge(
            f"pictures of {width}x{height} pixels are too elongated",
            hint=f"the long side may be at most {limits.max_aspect_ratio} times the short one",
        )
    new_height, new_width = resized_size(height, width, options.short_side, options.long_side)
    if new_height * new_width > limits.max_pixels:
        raise ResolutionTooLarge(
            f"pictures of {width}x{height} pixels are too elongated to be resized",
            hint=f"at most {limits.max_pixels} pixels once the short side is {options.short_side}",
        )
