"""A video as chunks to send: where they come from, how many bytes they have, whether they can be read again.

=======================================  ==============  ==========
source                                   size known      can rewind
=======================================  ==============  ==========
path of a regular file                   yes             yes, opened again
bytes, bytearray, memoryview             yes             yes
binary file object that can seek         yes             yes, to where it stood
list or tuple of bytes                   yes             yes
pipe, socket, other file object          no              no
generator, other iterable                no              no
async file object, async iterable        no              no
=======================================  ==============  ==========
"""

from __future__ import annotations

import asyncio
import inspect
import io
import os
import stat
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import copy_context
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Protocol, cast, runtime_checkable

from laps_client.errors import BadRequest

CHUNK_BYTES = 1 << 17

Chunks = Generator[bytes, None, None]
AsyncChunks = AsyncGenerator[bytes, None]
_Read = bytes | BaseException | None  # a chunk, what went wrong, the end


@runtime_checkable
class BinaryFile(Protocol):
    """What a file object must have."""

    def read(self, size: int, /) -> bytes:
        """Up to ``size`` bytes, none at the end."""


class AsyncBinaryFile(Protocol):
    """What an async file object must have, as those of aiofiles and anyio and an upload of Starlette do."""

    async def read(self, size: int, /) -> bytes:
        """Up to ``size`` bytes, none at the end."""


Video = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryFile | Iterable[bytes]
AsyncVideo = Video | AsyncBinaryFile | AsyncIterable[bytes]


@dataclass(frozen=True, slots=True)
class VideoSource:
    """``chunks()`` begins at the first byte each time it is called; without ``can_rewind``, once only."""

    chunks: Callable[[], Chunks]
    size_bytes: int | None
    can_rewind: bool


@dataclass(frozen=True, slots=True)
class AsyncVideoSource:
    """As :class:`VideoSource`, for an event loop."""

    chunks: Callable[[], AsyncChunks]
    size_bytes: int | None
    can_rewind: bool


def source_of(video: object) -> VideoSource:
    """What ``video`` is.

    Raises:
        TypeError: it is nothing that gives bytes.
        OSError: there is no such file.
    """
    if isinstance(video, str | os.PathLike):
        return _path_source(Path(video))
    if isinstance(video, bytes | bytearray | memoryview):
        view = memoryview(video).cast("B")
        return VideoSource(lambda: _pieces(view), view.nbytes, can_rewind=True)
    if isinstance(video, io.TextIOBase):
        raise TypeError("the file is opened as text; open it with mode 'rb'")
    if _reads_async(video):
        raise TypeError("an async file object needs AsyncLapsClient")
    if isinstance(video, BinaryFile):
        return _file_source(video)
    if isinstance(video, list | tuple):
        return VideoSource(lambda: _parts(video), sum(len(_checked(part)) for part in video), can_rewind=True)
    if isinstance(video, Iterable):
        return VideoSource(lambda: _parts(video), None, can_rewind=False)
    if isinstance(video, AsyncIterable):
        raise TypeError("an async iterable needs AsyncLapsClient")
    raise TypeError(f"a video is a path, bytes, a binary file or an iterable of bytes, not {type(video).__name__}")


def async_source_of(video: object) -> AsyncVideoSource:
    """As :func:`source_of`; whatever may block is read in a thread."""
    if _reads_async(video):  # its size stays unknown: a socket has none, and seek and tell differ among kinds
        return AsyncVideoSource(lambda: _async_file_chunks(cast(AsyncBinaryFile, video)), None, can_rewind=False)
    if isinstance(video, AsyncIterable) and not isinstance(video, BinaryFile):
        return AsyncVideoSource(lambda: _async_parts(video), None, can_rewind=False)
    return _read_in_threads(source_of(video))


def file_source_of(path: str | os.PathLike[str]) -> VideoSource:
    """One of many files, whose own errors must not stop the others.

    Raises:
        BadRequest: it cannot be read. Its chunks raise the same later.
    """
    with _unreadable_as_bad_request(path):
        source = _path_source(Path(path))

    def chunks() -> Chunks:
        with _unreadable_as_bad_request(path):
            yield from source.chunks()

    return VideoSource(chunks, source.size_bytes, source.can_rewind)


def async_file_source_of(path: str | os.PathLike[str]) -> AsyncVideoSource:
    """As :func:`file_source_of`, read in a thread."""
    return _read_in_threads(file_source_of(path))


@contextmanager
def _unreadable_as_bad_request(path: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise BadRequest(f"{os.fspath(path)}: {exc.strerror or exc}", code="source_unreadable") from exc


def _read_in_threads(source: VideoSource) -> AsyncVideoSource:
    return AsyncVideoSource(lambda: _in_thread(source.chunks()), source.size_bytes, source.can_rewind)


def _path_source(path: Path) -> VideoSource:
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):  # a pipe or a device has no size, and what was read from it is gone
        return VideoSource(lambda: _path_chunks(path, None), None, can_rewind=False)
    return VideoSource(lambda: _path_chunks(path, found.st_size), found.st_size, can_rewind=True)


def _file_source(file: BinaryFile) -> VideoSource:
    try:
        seek: Callable[..., int] = file.seek  # type: ignore[attr-defined]
        start = seek(0, os.SEEK_CUR)
        size = max(0, seek(0, os.SEEK_END) - start)
        seek(start)
    except (AttributeError, OSError, ValueError):  # as files say that they cannot seek
        return VideoSource(lambda: _file_chunks(file, None), None, can_rewind=False)

    def chunks() -> Chunks:
        seek(start)
        yield from _file_chunks(file, size)

    return VideoSource(chunks, size, can_rewind=True)


def _path_chunks(path: Path, size_bytes: int | None) -> Chunks:
    with path.open("rb", buffering=0) as file:
        yield from _file_chunks(file, size_bytes)


def _file_chunks(file: BinaryFile, size_bytes: int | None) -> Chunks:
    """To the file's end, or for exactly ``size_bytes``: a file that grows is sent as long as it was."""
    left = size_bytes
    while left is None or left > 0:
        chunk = _checked(file.read(CHUNK_BYTES if left is None else min(CHUNK_BYTES, left)))
        if not chunk:
            break
        if left is not None:
            left -= len(chunk)
        yield from _pieces(chunk)
    if left:
        raise BadRequest(
            f"the file ended {left} bytes before the size that it had",
            code="source_changed",
            hint="send it when nothing writes to it",
        )


def _parts(parts: Iterable[bytes]) -> Chunks:
    for part in parts:
        yield from _pieces(_checked(part))


async def _async_parts(parts: AsyncIterable[bytes]) -> AsyncChunks:
    async for part in parts:
        for piece in _pieces(_checked(part)):
            yield piece


async def _async_file_chunks(file: AsyncBinaryFile) -> AsyncChunks:
    while chunk := _checked(await file.read(CHUNK_BYTES)):
        for piece in _pieces(chunk):
            yield piece


def _reads_async(video: object) -> bool:
    return inspect.iscoroutinefunction(getattr(video, "read", None))


def _pieces(data: memoryview) -> Chunks:
    for start in range(0, len(data), CHUNK_BYTES):
        yield bytes(data[start : start + CHUNK_BYTES])


def _checked(part: object) -> memoryview:
    if not isinstance(part, bytes | bytearray | memoryview):
        raise TypeError(f"the source gave {type(part).__name__} where bytes were expected")
    return memoryview(part).cast("B")


async def _in_thread(chunks: Chunks) -> AsyncChunks:
    """Read all chunks in one daemon thread that nobody joins, since a pipe may never give its next byte.

    asyncio joins its own threads at the end of the loop, and the interpreter at its end, so they would not do.
    """
    loop = asyncio.get_running_loop()
    wanted: SimpleQueue[asyncio.Future[_Read] | _StopReading] = SimpleQueue()
    work = partial(copy_context().run, _read_on_demand, chunks, wanted, loop)
    Thread(target=work, name="laps-source", daemon=True).start()
    reading: asyncio.Future[_Read] | None = None
    try:
        while True:
            reading = loop.create_future()
            wanted.put(reading)
            chunk = await reading
            if chunk is None:
                return
            if isinstance(chunk, BaseException):
                raise chunk
            yield chunk
    finally:
        if reading is not None and (reading.cancelled() or not reading.done()):  # the thread still holds the generator
            wanted.put(_StopReading.AFTER_CLOSING)
        else:
            wanted.put(_StopReading.AT_ONCE)
            chunks.close()


class _StopReading(Enum):
    """How a reading thread ends: at once, or after it has closed the generator that it still holds."""

    AT_ONCE = auto()
    AFTER_CLOSING = auto()


def _read_on_demand(
    chunks: Chunks,
    wanted: SimpleQueue[asyncio.Future[_Read] | _StopReading],
    loop: asyncio.AbstractEventLoop,
) -> None:
    while not isinstance(reading := wanted.get(), _StopReading):
        chunk = _next(chunks)
        with suppress(RuntimeError):  # the loop is closed, and nobody waits any more
            loop.call_soon_threadsafe(_hand_over, reading, chunk)
    if reading is _StopReading.AFTER_CLOSING:
        chunks.close()


def _next(chunks: Chunks) -> _Read:
    """Exceptions become values: the thread goes on, and a future would refuse some kinds of them."""
    try:
        return next(chunks, None)
    except BaseException as exc:
        return exc


def _hand_over(reading: asyncio.Future[_Read], chunk: _Read) -> None:
    if not reading.done():  # cancelled meanwhile
        reading.set_result(chunk)
