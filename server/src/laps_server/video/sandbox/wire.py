"""What gateway and workers say to each other, over a socket that keeps messages apart (SOCK_SEQPACKET).

========= ================================================ ==========================================
gateway → ``job``: options as JSON, with the upload        ``next``: one Part more; ``stop``: none more
worker  → ``part``, or ``last``: one, with sealed memory   ``end``: none; ``error``: code, message
========= ================================================ ==========================================

A job asks for the first Part as well. Most videos are one Part, and take one message in each direction.

A worker may have been taken over by the file that it decodes. So nothing that it sends is unpickled, and its memory is
taken only if it is sealed: it can be changed or cut no more.
"""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Literal

import numpy as np
from pydantic import ConfigDict, TypeAdapter, ValidationError

from laps_server.errors import BadParameter, ClientClosed, InternalError, LapsError, MediaError
from laps_server.part import MediaWarning, Part, Segment
from laps_server.preprocess_rules import CropOffset, CropOrder
from laps_server.sampled_frame import SampledFrame
from laps_server.video.extract_options import ExtractOptions
from laps_server.video.limits import MediaLimits
from laps_server.video_info import VideoInfo
from laps_server.view_grid import ViewGrid

NEXT: Final = b"next"
STOP: Final = b"stop"
END: Final = b"end"
_JOB: Final = b"job "
_PART: Final = b"part "
_LAST: Final = b"last "
_ERROR: Final = b"error "
_SEALS: Final = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
_MAX_MESSAGE: Final = 64 * 1024
_MAX_HEADER: Final = 16 * 1024 * 1024
_MAX_TEXT: Final = 500
_ALIGNED: Final = 8


class GarbledMessage(Exception):
    """What a worker sent is not what workers send."""


@dataclass(frozen=True, slots=True)
class DecodeJob:
    """What a worker is asked for; the upload's descriptor goes beside it."""

    options: ExtractOptions
    limits: MediaLimits
    threads: int


@dataclass(frozen=True, slots=True)
class _Header:
    """All of a Part but its arrays and thumbnails, whose sizes in bytes it tells."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", allow_inf_nan=False)
    segment: tuple[int, float, float, int, int]
    ordinal: int
    segments_total: int
    video: VideoInfo
    grid: tuple[int, int]
    clips: tuple[int, int]
    frames: list[tuple[int | None, int, float]]
    places: list[int]
    sizes: list[tuple[int, int]]
    offsets: list[int]
    clip_frames: tuple[int, int]
    crop: tuple[int, int]
    crop_order: CropOrder
    crop_offset: CropOffset
    thumbnails: list[int]
    warnings: list[tuple[Literal["video", "segment"], str]]


@dataclass(frozen=True, slots=True)
class _Failure:
    """An error on its way."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")
    code: str
    message: str
    hint: str | None


_HEADER = TypeAdapter(_Header)
_FAILURE = TypeAdapter(_Failure)
_DECODE_JOB = TypeAdapter(DecodeJob)


def send(channel: socket.socket, message: bytes, descriptors: Sequence[int] = ()) -> None:
    """One message, with descriptors.

    Raises:
        OSError: nobody listens any more.
    """
    socket.send_fds(channel, [message], list(descriptors), socket.MSG_NOSIGNAL)


def receive(channel: socket.socket) -> tuple[bytes, list[int]]:
    """One message and its descriptors, which are the caller's to close; an empty one where the other side is gone.

    Raises:
        BlockingIOError: nothing is there, and the socket does not wait.
        GarbledMessage: it is longer than messages are.
    """
    try:
        message, descriptors, flags, _ = socket.recv_fds(channel, _MAX_MESSAGE, 4, socket.MSG_CMSG_CLOEXEC)
    except ConnectionError:
        return b"", []
    if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
        close_all(descriptors)
        raise GarbledMessage("a message is longer than messages are")
    return message, descriptors


def close_all(descriptors: Iterable[int]) -> None:
    """Close what came with a message."""
    for descriptor in descriptors:
        os.close(descriptor)


# Jobs, which the gateway writes ----------------------------------------------------------------------


def write_job(job: DecodeJob) -> bytes:
    """The message that asks for a video's Parts."""
    return _JOB + _DECODE_JOB.dump_json(job)


def read_job(message: bytes) -> DecodeJob:
    """The job of a message."""
    return _DECODE_JOB.validate_json(message.removeprefix(_JOB))


# Parts and errors, which workers write ---------------------------------------------------------------


def send_part(channel: socket.socket, part: Part, *, is_last: bool = False) -> None:
    """A Part in sealed memory; ``is_last`` where the job ends with it."""
    header = _HEADER.dump_json(_header_of(part))
    clip_frames = np.ascontiguousarray(part.clip_frames, np.int64)
    padding = bytes(-len(header) % _ALIGNED)
    pieces: list[bytes | memoryview] = [header + padding + clip_frames.tobytes(), part.pixels.data]
    pieces += part.thumbnails
    memory = os.memfd_create("part", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        for piece in pieces:
            _write_all(memory, memoryview(piece))
        fcntl.fcntl(memory, fcntl.F_ADD_SEALS, _SEALS)
        send(channel, (_LAST if is_last else _PART) + str(len(header)).encode(), [memory])
    finally:
        os.close(memory)


def send_error(channel: socket.socket, error: LapsError) -> None:
    """Why there is no further Part."""
    told = {"code": error.code, "message": error.message, "hint": error.hint}
    send(channel, _ERROR + json.dumps(told).encode())


def more_may_come(answer: bytes) -> bool:
    """Whether the job goes on behind a worker's answer."""
    return answer.startswith(_PART)


def read_answer(message: bytes, descriptors: Sequence[int], *, max_bytes: int) -> Part | None:
    """A worker's answer to ``job`` or ``next``: a Part, or None where there is none more. Closes the descriptors.

    Args:
        message: the answer.
        descriptors: what came with it.
        max_bytes: most that a Part may take.

    Raises:
        MediaError, BadParameter, ClientClosed, InternalError: as the worker says.
        GarbledMessage: it is no answer.
    """
    try:
        if message == END:
            return None
        if message.startswith(_ERROR):
            raise _read_error(message.removeprefix(_ERROR))
        if not message.startswith((_PART, _LAST)) or len(descriptors) != 1:
            raise GarbledMessage("neither a part, an end nor an error")
        try:
            return _read_part(descriptors[0], message[len(_PART) :], max_bytes)
        except (ValueError, OSError, LapsError) as exc:  # a ValidationError is a ValueError
            raise GarbledMessage(f"a part that is none: {type(exc).__name__}") from exc
    finally:
        close_all(descriptors)


def _read_part(memory: int, header_size: bytes, max_bytes: int) -> Part:
    if fcntl.fcntl(memory, fcntl.F_GET_SEALS) & _SEALS != _SEALS:  # some kernels add one against execution
        raise ValueError("the memory is not sealed")
    size, header_bytes = os.fstat(memory).st_size, int(header_size)
    if not 0 < header_bytes <= min(size, _MAX_HEADER) or size > max_bytes + _MAX_HEADER:
        raise ValueError(f"{header_bytes} of {size} bytes are the header")
    content = memoryview(mmap.mmap(memory, size, prot=mmap.PROT_READ))
    header = _HEADER.validate_json(bytes(content[:header_bytes]))
    at = header_bytes + -header_bytes % _ALIGNED
    rows, columns = header.clip_frames
    clip_frames = np.frombuffer(content, np.int64, count=rows * columns, offset=at).reshape(rows, columns)
    at += clip_frames.nbytes
    pixels = np.frombuffer(content, np.uint8, count=header.offsets[-1], offset=at)
    at += len(pixels)
    thumbnails = []
    for length in header.thumbnails:
        if length < 0:
            raise ValueError("a thumbnail of fewer bytes than none")
        thumbnails.append(bytes(content[at : at + length]))
        at += length
    if at != size:
        raise ValueError(f"{size} bytes where the header tells of {at}")
    index, start_s, end_s, first, stop = header.segment
    return Part(
        segment=Segment(index, start_s, end_s, range(first, stop)),
        ordinal=header.ordinal,
        segments_total=header.segments_total,
        video=header.video,
        grid=ViewGrid(*header.grid),
        clips=range(*header.clips),
        frames=tuple(SampledFrame(*frame) for frame in header.frames),
        places=tuple(header.places),
        sizes=tuple(header.sizes),
        pixels=pixels,
        offsets=tuple(header.offsets),
        clip_frames=clip_frames,
        crop_height=header.crop[0],
        crop_width=header.crop[1],
        crop_order=header.crop_order,
        crop_offset=header.crop_offset,
        thumbnails=tuple(thumbnails),
        warnings=tuple(MediaWarning(scope, text) for scope, text in header.warnings),
    )


def _header_of(part: Part) -> _Header:
    segment = part.segment
    return _Header(
        segment=(segment.index, segment.start_s, segment.end_s, segment.frames.start, segment.frames.stop),
        ordinal=part.ordinal,
        segments_total=part.segments_total,
        video=part.video,
        grid=(part.grid.temporal, part.grid.spatial),
        clips=(part.clips.start, part.clips.stop),
        frames=[(frame.index, frame.pts, frame.time_s) for frame in part.frames],
        places=list(part.places),
        sizes=list(part.sizes),
        offsets=list(part.offsets),
        clip_frames=(part.clip_frames.shape[0], part.clip_frames.shape[1]),
        crop=(part.crop_height, part.crop_width),
        crop_order=part.crop_order,
        crop_offset=part.crop_offset,
        thumbnails=[len(thumbnail) for thumbnail in part.thumbnails],
        warnings=[(warning.scope, warning.text) for warning in part.warnings],
    )


def _read_error(text: bytes) -> LapsError:
    """Of a kind that a file can cause; any other is a defect of ours, as which it is told."""
    try:
        told = _FAILURE.validate_json(text)
    except ValidationError as exc:
        raise GarbledMessage("an error that is none") from exc
    kind = _ERRORS.get(told.code)
    if kind is None:
        return InternalError("decoding failed")
    return kind(told.message[:_MAX_TEXT], hint=told.hint and told.hint[:_MAX_TEXT])


def _kinds(kind: type[LapsError]) -> dict[str, type[LapsError]]:
    found = {kind.code: kind}
    for below in kind.__subclasses__():
        found |= _kinds(below)
    return found


_ERRORS: Final = _kinds(MediaError) | {kind.code: kind for kind in (BadParameter, ClientClosed)}


def _write_all(descriptor: int, data: memoryview) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
