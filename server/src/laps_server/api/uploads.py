"""A request's video from the wire to a file on disk, as it arrives: never whole in memory.

Both forms end in the same unnamed temporary file: multipart field ``file``, or the raw body with any other content
type. A client's file name is never used.
"""

from __future__ import annotations

import asyncio
import errno
import re
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect

from laps_server.errors import (
    BadMultipart,
    BadParameter,
    ClientClosed,
    FileMissing,
    SlowUpload,
    StorageFull,
    TooLarge,
    TooManyFiles,
    UnsupportedContainer,
)
from laps_server.observe import now

FIELD = "file"

_FLUSH_BYTES = 1 << 20  # one write to disk for so many bytes
MULTIPART_OVERHEAD_BYTES = 1 << 16  # boundaries and part headers around a file of the largest size
_MAX_HEADERS = 16
_MAX_HEADER_BYTES = 8192
_MIB = 1 << 20
_HINT_BODY = f"send the video as the body, or as multipart field {FIELD!r}"
_HINT_LINES = (
    "its lines end with CR and LF, not with LF alone: let the HTTP library write it, or send the video as the body"
)
_BARE_LF = re.compile(rb"(?<!\r)\n")
_SAME_BYTES = (b"", b"7bit", b"8bit", b"binary")  # transfer encodings that leave a part's bytes as they are


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """How much, how slowly, and where to (None: the system's folder).

    An upload is given up after ``idle_timeout_s`` without a byte, and, from that age on, when its average falls
    below ``min_bytes_per_s``: a byte now and then must not hold a place.
    """

    max_bytes: int
    idle_timeout_s: float
    min_bytes_per_s: int
    folder: Path | None


@asynccontextmanager
async def received_upload(request: Request, limits: UploadLimits) -> AsyncIterator[IO[bytes]]:
    """Receive the request's video; the file is gone when the context ends, however it ends.

    Raises:
        BadMultipart, TooManyFiles, FileMissing, UnsupportedContainer, BadParameter: the body is not one
            file that holds something.
        TooLarge, SlowUpload, StorageFull, ClientClosed: it did not get here whole.
    """
    _check_declared_size(request, limits)
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding != "identity":
        raise BadParameter(f"content encoding {encoding[:40]!r} is not decoded", hint="send the video as it is")
    with _storage_errors(), tempfile.TemporaryFile(dir=limits.folder, buffering=0) as file:
        store = _Store(file, limits)
        media_type, options = parse_options_header(request.headers.get("content-type"))
        if media_type == b"multipart/form-data":
            await _receive_multipart(request, store, boundary=options.get(b"boundary"), limits=limits)
        else:
            async for chunk in _body(request, limits):
                await store.add(chunk)
            if store.size_bytes == 0 and not media_type:
                raise FileMissing("the request has no body", hint=_HINT_BODY)
        if store.size_bytes == 0:
            raise UnsupportedContainer("the upload is empty: 0 bytes", hint=_HINT_BODY)
        await store.flush()
        yield file


@contextmanager
def _storage_errors() -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull("no space left for uploads", hint="send the request again later") from exc
        raise


class _Store:
    """Collects bytes and writes them in large pieces off the event loop."""

    def __init__(self, file: IO[bytes], limits: UploadLimits) -> None:
        self._file = file
        self._limits = limits
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self.size_bytes = 0

    def append(self, data: bytes) -> None:
        self.size_bytes += len(data)
        if self.size_bytes > self._limits.max_bytes:
            raise _too_large(self._limits)
        self._pending.append(data)
        self._pending_bytes += len(data)

    async def add(self, data: bytes) -> None:
        self.append(data)
        await self.flush_if_due()

    async def flush_if_due(self) -> None:
        if self._pending_bytes >= _FLUSH_BYTES:
            await self.flush()

    async def flush(self) -> None:
        data, self._pending, self._pending_bytes = b"".join(self._pending), [], 0
        writing = asyncio.ensure_future(asyncio.to_thread(_write_all, self._file, data))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            # The file is closed next, and its descriptor may be another request's: the thread must be through.
            await asyncio.wait([writing])
            writing.exception()  # nobody asks any more whether it was written
            raise


def _write_all(file: IO[bytes], data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


class _Parts:
    """Callbacks of the multipart parser: sends the one file part to the store, refuses everything else."""

    def __init__(self, store: _Store) -> None:
        self._store = store
        self._header_name = b""
        self._header_value = b""
        self._headers: dict[bytes, bytes] = {}
        self._in_file = False
        self.files = 0
        self.ended = False

    def on_part_begin(self) -> None:
        self._headers = {}

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def on_header_end(self) -> None:
        self._headers[self._header_name.lower()] = self._header_value
        self._header_name = self._header_value = b""

    def on_headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        name = options.get(b"name", b"").decode("utf-8", "replace")[:100]
        if name != FIELD:
            if b"filename" in options:
                raise FileMissing(f"the file is in field {name!r}", hint=f"send it in field {FIELD!r}")
            raise BadParameter(
                f"form field {name!r} is not read",
                hint=f"options go into the query string, as in /classify?{name}=…",
            )
        encoding = self._headers.get(b"content-transfer-encoding", b"").strip().lower()
        if encoding not in _SAME_BYTES:
            raise BadMultipart(
                f"transfer encoding {encoding[:40].decode('utf-8', 'replace')!r} of field {FIELD!r} is not decoded",
                hint="send the bytes of the video as they are, without Content-Transfer-Encoding",
            )
        self.files += 1
        if self.files > 1:
            raise TooManyFiles("the request holds more than one file", hint="send one request for each file")
        self._in_file = True

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self._store.append(data[start:end])

    def on_part_end(self) -> None:
        self._in_file = False

    def on_end(self) -> None:
        self.ended = True


async def _receive_multipart(request: Request, store: _Store, *, boundary: bytes | None, limits: UploadLimits) -> None:
    if not boundary:
        raise BadMultipart("multipart without a boundary", hint="let the HTTP library set Content-Type")
    parts = _Parts(store)
    head = b""  # of the body, to say what is wrong with it
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": parts.on_part_begin,
                "on_header_field": parts.on_header_field,
                "on_header_value": parts.on_header_value,
                "on_header_end": parts.on_header_end,
                "on_headers_finished": parts.on_headers_finished,
                "on_part_data": parts.on_part_data,
                "on_part_end": parts.on_part_end,
                "on_end": parts.on_end,
            },
            max_header_count=_MAX_HEADERS,
            max_header_size=_MAX_HEADER_BYTES,
        )
        async for chunk in _body(request, limits):
            head += chunk[: _MAX_HEADER_BYTES - len(head)]
            parser.write(chunk)
            await store.flush_if_due()
        parser.finalize()
    except FormParserError as exc:
        hint = _HINT_LINES if _has_bare_lf(head, boundary) else _HINT_BODY
        raise BadMultipart(f"the multipart body cannot be parsed: {exc}", hint=hint) from exc
    if not parts.ended or not parts.files:
        what = "has no file" if parts.ended else "ends before its closing boundary"
        hint = f"send the video whole, in field {FIELD!r}"
        if not parts.ended:
            hint += ", and CR LF before and after the boundary"
        raise FileMissing(f"the multipart body {what}", hint=hint)


def _has_bare_lf(head: bytes, boundary: bytes) -> bool:
    """Whether the first boundary, or a line of the headers behind it, ends with LF alone."""
    lines, _, _ = head.lstrip(b"\r\n").partition(b"\r\n\r\n")
    return lines.startswith(b"--" + boundary) and _BARE_LF.search(lines) is not None


async def _body(request: Request, limits: UploadLimits) -> AsyncIterator[bytes]:
    """The body's chunks; bounded in total size and in the time between two of them."""
    stream = aiter(request.stream())
    total = 0
    began = now()
    while True:
        try:
            async with asyncio.timeout(limits.idle_timeout_s):
                chunk = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError as exc:
            raise SlowUpload(
                f"no byte arrived for {limits.idle_timeout_s:g} s",
                hint="send the request again over a steady connection",
            ) from exc
        except ClientDisconnect as exc:
            raise ClientClosed("the client disconnected during its upload") from exc
        total += len(chunk)
        age_s = now() - began
        if age_s > limits.idle_timeout_s and total < limits.min_bytes_per_s * age_s:
            raise SlowUpload(
                f"{total} bytes arrived in {age_s:.0f} s, fewer than {limits.min_bytes_per_s} a second",
                hint="send the request again over a faster connection",
            )
        if total > limits.max_bytes + MULTIPART_OVERHEAD_BYTES:
            raise _too_large(limits)
        yield chunk


def _check_declared_size(request: Request, limits: UploadLimits) -> None:
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limits.max_bytes + MULTIPART_OVERHEAD_BYTES:
        raise _too_large(limits)


def _too_large(limits: UploadLimits) -> TooLarge:
    return TooLarge(
        f"the upload is larger than {limits.max_bytes} bytes ({limits.max_bytes / _MIB:.0f} MiB)",
        hint="send a shorter or smaller video; the limit is in /models",
    )
