"""From an upright RGB frame to a model's input: resize the short side, cut crops, stack a clip.

Pure functions on 8-bit frames ``[h, w, 3]``. The resize is half-pixel bilinear without antialiasing, as at the
model's training; OpenCV's bit-exact variant is the closest 8-bit one to the float32 reference.
"""

from __future__ import annotations

import cv2
import numpy as np

from laps_server.arrays import UInt8Array
from laps_server.part import Part
from laps_server.sampled_frame import CropBox

# A frame is kept whole up to this many crops' worth of pixels: what three crops would take that do not overlap.
WHOLE_CROPS = 3
WHOLE_DIMENSIONS = 3  # [h, w, 3]; crops have one more
THUMBNAIL_LONG_SIDE = 160
THUMBNAIL_QUALITY = 80


def resized_size(height: int, width: int, short_side: int) -> tuple[int, int]:
    """Height and width after the short side became ``short_side``; the long side is rounded down."""
    if width <= height:
        return int(height / width * short_side), short_side
    return short_side, int(width / height * short_side)


def resize_short_side(frame: UInt8Array, short_side: int) -> UInt8Array:
    """``[h, w, 3]`` with its short side at ``short_side``; the frame itself where it already is."""
    height, width = frame.shape[:2]
    if min(height, width) == short_side:
        return frame
    new_height, new_width = resized_size(height, width, short_side)
    resized = cv2.resize(frame, (new_width, new_height), interpolation=cv2.INTER_LINEAR_EXACT)
    return np.asarray(resized, dtype=np.uint8)


def crop_box(height: int, width: int, *, crop_height: int, crop_width: int, position: int, count: int) -> CropBox:
    """Crop ``position`` of ``count`` in a frame of ``height`` by ``width`` pixels.

    One crop is the centre; three lie along the longer side, the middle one at the centre::

        wide    |0 .... 1 .... 2|        tall   0   top
                left centre right               1   centre
                                                2   bottom

    Raises:
        ValueError: the crop does not fit, or there is no such position.
    """
    if crop_height > height or crop_width > width:
        raise ValueError(f"a crop of {crop_width}x{crop_height} does not fit in {width}x{height}")
    if count not in (1, 3) or not 0 <= position < count:
        raise ValueError(f"no crop {position} of {count}")
    x = _centre(width, crop_width)
    y = _centre(height, crop_height)
    if count == 3 and position != 1:
        if height > width:
            y = 0 if position == 0 else height - crop_height
        else:
            x = 0 if position == 0 else width - crop_width
    return CropBox(x=x, y=y, width=crop_width, height=crop_height)


def _centre(size: int, crop: int) -> int:
    """Offset of a centred crop, rounded up."""
    return (size - crop + 1) // 2


def needed_pixels(frame: UInt8Array, *, crop_height: int, crop_width: int, count: int) -> UInt8Array:
    """What ``count`` crops need of a resized ``[h, w, 3]``: itself, or ``[count, H, W, 3]`` where it is elongated."""
    height, width = frame.shape[:2]
    if height * width <= WHOLE_CROPS * crop_height * crop_width:
        return frame
    boxes = [
        crop_box(height, width, crop_height=crop_height, crop_width=crop_width, position=position, count=count)
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
