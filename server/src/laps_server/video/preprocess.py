"""From an upright RGB frame to a model's input: resize the short side, cut crops, stack a clip.

Pure functions on 8-bit frames ``[h, w, 3]``. What families do differently is told apart by the names of
laps_server/preprocess_rules.py; the defaults are those of LAPS. Its resize is half-pixel bilinear without antialiasing,
as at the model's training; OpenCV's bit-exact variant is the closest 8-bit one to the float32 reference. Families that
were trained on Pillow's pictures get Pillow's resize: nothing of OpenCV's is equal to it.
"""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
from PIL import Image

from laps_server.arrays import UInt8Array
from laps_server.part import Part
from laps_server.preprocess_rules import CropOffset, CropOrder, Interpolation, LongSide
from laps_server.sampled_frame import CropBox

# A frame is kept whole up to as many crops' worth of pixels as there are crops. A single crop has to save a third:
# cutting it out is a copy.
WORTH_CUTTING_ONE = 1.5
WHOLE_DIMENSIONS = 3  # [h, w, 3]; crops have one more
# Where the first, second and third of three crops lie along the longer side: 0 the start, 1 the centre, 2 the end.
PLACES: Mapping[CropOrder, tuple[int, int, int]] = {
    "along": (0, 1, 2),
    "centre_first": (1, 0, 2),
    "ends_first": (0, 2, 1),
}
THUMBNAIL_LONG_SIDE = 160
THUMBNAIL_QUALITY = 80


def resized_size(height: int, width: int, short_side: int, long_side: LongSide = "floor") -> tuple[int, int]:
    """Height and width after the short side became ``short_side``; the long side is rounded down or to the nearest."""
    if width <= height:
        return _long(height, width, short_side, long_side), short_side
    return short_side, _long(width, height, short_side, long_side)


def _long(long: int, short: int, short_side: int, rounding: LongSide) -> int:
    # The order of the operations is each authors' own: it decides what becomes of a half.
    return int(long / short * short_side) if rounding == "floor" else int(long * (short_side / short) + 0.5)


def resize_short_side(
    frame: UInt8Array, short_side: int, *, long_side: LongSide = "floor", interpolation: Interpolation = "bilinear"
) -> UInt8Array:
    """``[h, w, 3]`` with its short side at ``short_side``; the frame itself where it already is."""
    height, width = frame.shape[:2]
    if min(height, width) == short_side:
        return frame
    new_height, new_width = resized_size(height, width, short_side, long_side)
    if interpolation == "bilinear_antialiased":
        picture = Image.fromarray(frame).resize((new_width, new_height), Image.Resampling.BILINEAR)
        return np.array(picture, dtype=np.uint8)
    resized = cv2.resize(frame, (new_width, new_height), interpolation=cv2.INTER_LINEAR_EXACT)
    return np.asarray(resized, dtype=np.uint8)


def crop_box(
    height: int,
    width: int,
    *,
    crop_height: int,
    crop_width: int,
    position: int,
    count: int,
    order: CropOrder = "along",
    offset: CropOffset = "up",
) -> CropBox:
    """Crop ``position`` of ``count`` in a frame of ``height`` by ``width`` pixels.

    One crop is the centre; three lie along the longer side, one of them at the centre. ``order`` numbers them::

        wide    |left  centre  right|        tall   top        along          0  1  2
                                                    centre     centre_first   1  0  2
                                                    bottom     ends_first     0  2  1

    ``offset`` rounds the centre's; by ``down`` the last crop is as far from the centre as the first, so that a pixel
    behind it may be left over::

        7 pixels, crops of 4     up     [0 1 2 3] . . .     . . [2 3 4 5] .     . . . [3 4 5 6]
                                 down   [0 1 2 3] . . .     . [1 2 3 4] . .     . . [2 3 4 5] .

    Raises:
        ValueError: the crop does not fit, or there is no such position.
    """
    if crop_height > height or crop_width > width:
        raise ValueError(f"a crop of {crop_width}x{crop_height} does not fit in {width}x{height}")
    if count not in (1, 3) or not 0 <= position < count:
        raise ValueError(f"no crop {position} of {count}")
    place = 1 if count == 1 else PLACES[order][position]
    down, across = (place, 1) if height > width else (1, place)
    return CropBox(
        x=_offsets(width, crop_width, offset)[across],
        y=_offsets(height, crop_height, offset)[down],
        width=crop_width,
        height=crop_height,
    )


def _offsets(size: int, crop: int, rounding: CropOffset) -> tuple[int, int, int]:
    """Where a crop begins at the start, in the centre and at the end."""
    spare = size - crop
    return (0, (spare + 1) // 2, spare) if rounding == "up" else (0, spare // 2, spare // 2 * 2)


def needed_pixels(
    frame: UInt8Array,
    *,
    crop_height: int,
    crop_width: int,
    count: int,
    order: CropOrder = "along",
    offset: CropOffset = "up",
) -> UInt8Array:
    """What ``count`` crops need of a resized ``[h, w, 3]``: itself, or ``[count, H, W, 3]`` where that is less."""
    height, width = frame.shape[:2]
    if height * width <= max(count, WORTH_CUTTING_ONE) * crop_height * crop_width:
        return frame
    boxes = [
        crop_box(
            height,
            width,
            crop_height=crop_height,
            crop_width=crop_width,
            position=position,
            count=count,
            order=order,
            offset=offset,
        )
        for position in range(count)
    ]
    return np.stack([_cut(frame, box) for box in boxes])


def _cut(frame: UInt8Array, box: CropBox) -> UInt8Array:
    return frame[box.y : box.y + box.height, box.x : box.x + box.width]


def view_boxes(part: Part, view: int) -> tuple[CropBox, ...]:
    """The T crop boxes of a view; they differ only where the video changes its size.

    Raises:
        ValueError: the view is not in ``part``.
    """
    row, spatial = part.locate(view)
    boxes = []
    for position in part.clip_frames[row]:
        height, width = part.sizes[position]
        box = crop_box(
            height,
            width,
            crop_height=part.crop_height,
            crop_width=part.crop_width,
            position=spatial,
            count=part.grid.spatial,
            order=part.crop_order,
            offset=part.crop_offset,
        )
        boxes.append(box)
    return tuple(boxes)


def assemble_clip(part: Part, view: int, out: UInt8Array | None = None) -> UInt8Array:
    """The clip of a view as uint8 ``[T, H, W, 3]`` RGB, written into ``out`` where it is given.

    Raises:
        ValueError: the view is not in ``part``, or ``out`` is not of that shape.
    """
    row, spatial = part.locate(view)
    positions = part.clip_frames[row]  # [T]
    shape = (len(positions), part.crop_height, part.crop_width, 3)
    if out is None:
        out = np.empty(shape, dtype=np.uint8)
    elif out.shape != shape or out.dtype != np.uint8:
        raise ValueError(f"out is {out.dtype} {out.shape}, a clip is uint8 {shape}")
    for place, (position, box) in enumerate(zip(positions, view_boxes(part, view), strict=True)):
        pixels = part.frame_pixels(position)
        out[place] = _cut(pixels, box) if pixels.ndim == WHOLE_DIMENSIONS else pixels[spatial]
    return out


def thumbnail(frame: UInt8Array) -> bytes:
    """A small JPEG of an RGB frame ``[h, w, 3]``."""
    height, width = frame.shape[:2]
    scale = min(1.0, THUMBNAIL_LONG_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    done, data = cv2.imencode(
        ".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, THUMBNAIL_QUALITY]
    )
    if not done:
        raise ValueError(f"a frame of {width}x{height} cannot be written as JPEG")
    return data.tobytes()
