"""One decoded frame: when it is shown, which way up, and its pixels."""

from __future__ import annotations

import struct
from contextlib import suppress

import av
import av.video.frame
import numpy as np
from av.sidedata.sidedata import SideDataContainer
from av.sidedata.sidedata import Type as SideDataType

from laps_server.arrays import UInt8Array
from laps_server.errors import VideoCorrupt
from laps_server.video.orientation import AS_DECODED, Orientation, nearest_turn

DISPLAY_MATRIX = struct.Struct("=9i")
HALF_TURN = 180  # degrees; FFmpeg gives an angle beyond it where there is none


class DecodedFrame:
    """One decoded frame, still in its native format."""

    __slots__ = ("_frame",)

    def __init__(self, frame: av.video.frame.VideoFrame) -> None:
        self._frame = frame

    @property
    def pts(self) -> int | None:
        """Timestamp in stream time base units, as the decoder gives it."""
        return self._frame.pts

    @property
    def can_begin_decoding(self) -> bool:
        """Whether decoding may begin with this frame."""
        return self._frame.key_frame or self._frame.pict_type == av.video.frame.PictureType.I

    @property
    def size(self) -> tuple[int, int]:
        """Width and height before rotation."""
        return self._frame.width, self._frame.height

    @property
    def orientation(self) -> Orientation:
        """How it is to be mirrored and turned for display."""
        # Not the frame's own side_data: a frame and its container hold each other, so frames would pile up until the
        # garbage collector runs. The container is initialised apart from its construction because that stops at the
        # first kind of side data that PyAV has no name for (EXIF): the matrix, which comes before it, is still wanted.
        known = SideDataContainer.__new__(SideDataContainer)
        complete = False
        with suppress(ValueError):
            SideDataContainer.__init__(known, self._frame)  # type: ignore[call-arg]  # the stub leaves it out
            complete = True
        matrix = known.get(SideDataType.DISPLAYMATRIX)
        if matrix is not None and matrix.buffer_size >= DISPLAY_MATRIX.size:
            a, b, _, c, d, *_ = DISPLAY_MATRIX.unpack_from(matrix)
            return Orientation.of_matrix(a=a, b=b, c=c, d=d)
        turn = 0 if complete else -self._frame.rotation
        return Orientation(mirrored=False, clockwise=nearest_turn(turn)) if abs(turn) <= HALF_TURN else AS_DECODED

    def rgb(self) -> UInt8Array:
        """Upright uint8 ``[h, w, 3]`` at native size."""
        try:
            pixels = np.asarray(self._frame.to_ndarray(format="rgb24", threads=1), dtype=np.uint8)
        except (av.FFmpegError, ValueError, MemoryError) as exc:
            raise VideoCorrupt("a frame cannot be converted to RGB") from exc
        return self.orientation.upright(pixels)
