"""What one decode hands over: whole clips of a segment, their frames, and what the client should know of them.

A video is one segment or several; a segment is one Part or several, in the plan's order. A Part holds the clips of
consecutive temporal views and every frame that they use, so that it needs no other Part to be run::

    segment 0                          segment 1
    clips 0        clips 1 2           clips 0        clips 1 2
    [Part: begins] [Part:     ends]    [Part: begins] [Part:     ends]

Where a file turns out to differ from its headers, a segment may begin once more: a Part that begins a segment makes
the earlier Parts of that segment void.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from laps_server.arrays import IntArray, UInt8Array
from laps_server.preprocess_rules import CropOffset, CropOrder
from laps_server.sampled_frame import SampledFrame
from laps_server.video_info import VideoInfo
from laps_server.view_grid import ViewGrid

CHANNELS = 3


@dataclass(frozen=True, slots=True)
class Segment:
    """Window number ``index`` of a video's time, in seconds, and the numbers of the frames in it: at least one."""

    index: int
    start_s: float
    end_s: float
    frames: range


@dataclass(frozen=True, slots=True)
class MediaWarning:
    """What a client should know of a file: ``text`` says what it does, ``scope`` whether all of it or one segment."""

    scope: Literal["video", "segment"]
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Consecutive whole clips of one segment; immutable once it is handed over, and picklable.

    Each distinct frame is held once in a Part, resized; a view's clip is gathered and cropped when it is asked for, so
    that the crops of one clip share its pixels. Where the crops alone are less, only they are held.

    Attributes:
        segment: the window of time that it belongs to.
        ordinal: how many segments came before that one; windows without a frame are none.
        segments_total: segments of the video, as far as is known by now.
        video: the video's facts.
        grid: the views taken of every segment.
        clips: which temporal views are here.
        frames: F distinct frames in presentation order.
        places: F places of those frames among all distinct frames of the segment, in presentation order.
        sizes: F heights and widths after the resize, before any crop.
        pixels: uint8 ``[N]``, the frames one behind the other; frame i is ``pixels[offsets[i]:offsets[i + 1]]``, a
            whole resized RGB frame ``[h, w, 3]`` or its crops ``[V_s, crop_height, crop_width, 3]``.
        offsets: F + 1 offsets.
        clip_frames: ``[len(clips), T]``, for each temporal view here the positions in ``frames``.
        crop_height, crop_width: size of every crop.
        crop_order, crop_offset: which of three crops is which, and how the centre's offset is rounded.
        thumbnails: F JPEGs, empty where one is not wanted; none at all where none are.
        warnings: all that is known by now, about the video and about the segment.
    """

    segment: Segment
    ordinal: int
    segments_total: int
    video: VideoInfo
    grid: ViewGrid
    clips: range
    frames: tuple[SampledFrame, ...]
    places: tuple[int, ...]
    sizes: tuple[tuple[int, int], ...]
    pixels: UInt8Array
    offsets: tuple[int, ...]
    clip_frames: IntArray
    crop_height: int
    crop_width: int
    crop_order: CropOrder = "along"
    crop_offset: CropOffset = "up"
    thumbnails: tuple[bytes, ...] = ()
    warnings: tuple[MediaWarning, ...] = ()

    def __post_init__(self) -> None:
        count = len(self.frames)
        if not count == len(self.places) == len(self.sizes) == len(self.offsets) - 1 or not count:
            raise ValueError(
                f"{count} frames but {len(self.places)} places, {len(self.sizes)} sizes, {len(self.offsets)} offsets"
            )
        if not 0 <= self.clips.start < self.clips.stop <= self.grid.temporal or self.clips.step != 1:
            raise ValueError(f"{self.clips} are no clips of {self.grid}")
        if len(self.thumbnails) not in (0, count):
            raise ValueError(f"{len(self.thumbnails)} thumbnails for {count} frames")
        self._check_pixels()
        if self.clip_frames.ndim != 2 or len(self.clip_frames) != len(self.clips):
            raise ValueError(f"clip_frames {self.clip_frames.shape} does not fit {self.clips}")
        if self.clip_frames.min() < 0 or self.clip_frames.max() >= count:
            raise ValueError("clip_frames names a frame that is not there")
        self.pixels.flags.writeable = False
        self.clip_frames.flags.writeable = False

    def _check_pixels(self) -> None:
        if self.pixels.dtype != np.uint8 or self.pixels.ndim != 1 or not self.pixels.flags.c_contiguous:
            raise ValueError(f"pixels are {self.pixels.dtype} {self.pixels.shape}, not contiguous bytes")
        if self.offsets[0] != 0 or self.offsets[-1] != len(self.pixels):
            raise ValueError(f"offsets go from {self.offsets[0]} to {self.offsets[-1]} in {len(self.pixels)} bytes")
        crops = self._crops_bytes
        for (height, width), (begin, end) in zip(self.sizes, pairwise(self.offsets), strict=True):
            if end - begin not in (height * width * CHANNELS, crops):
                raise ValueError(f"{end - begin} bytes are neither a frame of {height}x{width} nor its crops ({crops})")

    def __reduce__(self) -> tuple[Callable[..., Part], tuple[Any, ...]]:
        # By way of the constructor, so that what comes from another process is checked and made immutable here too.
        return Part, tuple(getattr(self, field.name) for field in fields(self))

    @property
    def begins_segment(self) -> bool:
        """Whether it holds the segment's first clip; earlier Parts of the same segment are void."""
        return self.clips.start == 0

    @property
    def ends_segment(self) -> bool:
        """Whether it holds the segment's last clip."""
        return self.clips.stop == self.grid.temporal

    @property
    def ends_video(self) -> bool:
        """Whether nothing comes after it."""
        return self.ends_segment and self.ordinal + 1 == self.segments_total

    @property
    def views(self) -> range:
        """The numbers of its views in the grid, clip by clip."""
        return range(self.clips.start * self.grid.spatial, self.clips.stop * self.grid.spatial)

    @property
    def size_bytes(self) -> int:
        """What its frames take."""
        return len(self.pixels)

    def locate(self, view: int) -> tuple[int, int]:
        """A view's number -> its clip's row in ``clip_frames`` and the number of its crop.

        Raises:
            ValueError: the view is not here.
        """
        if view not in self.views:
            raise ValueError(f"no view {view} among {self.views}")
        temporal, spatial = divmod(view, self.grid.spatial)
        return temporal - self.clips.start, spatial

    def frame_pixels(self, position: int) -> UInt8Array:
        """The kept pixels of frame ``position``: ``[h, w, 3]``, or ``[V_s, crop_height, crop_width, 3]``."""
        kept = self.pixels[self.offsets[position] : self.offsets[position + 1]]
        height, width = self.sizes[position]
        if len(kept) == height * width * CHANNELS:
            return kept.reshape(height, width, CHANNELS)
        return kept.reshape(self.grid.spatial, self.crop_height, self.crop_width, CHANNELS)

    @property
    def _crops_bytes(self) -> int:
        return self.grid.spatial * self.crop_height * self.crop_width * CHANNELS


def join_pixels(frames: Sequence[UInt8Array]) -> tuple[UInt8Array, tuple[int, ...]]:
    """Frames as one run of bytes ``[N]`` and the offsets at which they begin and end."""
    offsets = np.cumsum([0, *(frame.size for frame in frames)])
    return np.concatenate([frame.reshape(-1) for frame in frames]), tuple(int(offset) for offset in offsets)
