"""Clients of every kind, each of which sends a request after the other and tells what came of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from random import Random
from urllib.parse import urlsplit

import httpx

from laps_server.errors import (
    BackendTimeout,
    BackendUnavailable,
    BadParameter,
    DeadlineExceeded,
    FileMissing,
    MediaError,
    NoVideoStream,
    Overloaded,
    SlowUpload,
    StorageFull,
    TooLarge,
    UnsupportedContainer,
    VideoCorrupt,
)

OK = "ok"
LEFT = "left"  # the client went away, on purpose
LOST = "lost"  # the connection ended without an answer

_TIMEOUT_S = 60.0
_PIECES = 5
_PAUSE_S = 0.2  # between pieces of a slow upload
_BOUNDARY = "soak"
# A machine that is busy, or a disk that is full, may refuse anybody.
_ANYBODY = frozenset({Overloaded.code, StorageFull.code})
_OWN_SERVER = ("in a hurry", "stops", "too large", "wrong option")  # they do not get to the engine, or have a slow one
_MEDIA = frozenset(kind.code for kind in MediaError.__subclasses__()) - {"decoder_crashed"}


@dataclass(frozen=True, slots=True)
class Files:
    """What is sent; ``damaged`` gives another file each time."""

    clip: bytes
    film: bytes
    damaged: Callable[[], bytes]
    max_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What a client sends and does.

    Attributes:
        share: how often it comes, beside others.
        query: of the request.
        body: its file.
        events: whether it asks for events.
        form: whether the file is a field of a form.
        slow: whether it pauses between pieces.
        stops_s: how long it pauses in the middle of its upload.
        leaves: where it goes away: in its upload, while it waits, or in its events.
        expected: what it may be told, besides what anybody may be.
    """

    share: int
    query: str
    body: Callable[[Files], bytes] = lambda files: files.clip
    events: bool = False
    form: bool = False
    slow: bool = False
    stops_s: float = 0.0
    leaves: str = ""
    expected: frozenset[str] = frozenset({OK})

    @property
    def allowed(self) -> frozenset[str]:
        """What may come of it."""
        return self.expected | _ANYBODY | ({LEFT} if self.leaves else set())


def kinds(idle_timeout_s: float) -> dict[str, Kind]:
    """All of them; one stops for longer than the server waits."""
    slow_model = "model=slow&views=8x1"
    return {
        "good": Kind(share=6, query="views=2x3"),
        "good, a form": Kind(share=2, query="views=1x1&top_k=2", form=True),
        "good, thumbnails": Kind(share=2, query="views=2x1&view_details=true&thumbnails=true"),
        "good, events": Kind(share=3, query="views=4x1", events=True),
        "good, segments": Kind(share=2, query="segments=1s&views=1x1", body=lambda files: files.film),
        "good, events of segments": Kind(
            share=2, query="segments=1s&views=2x1", body=lambda files: files.film, events=True
        ),
        "slow": Kind(share=2, query="views=1x1", slow=True),
        "stops": Kind(share=1, query="views=1x1", stops_s=1.5 * idle_timeout_s, expected=frozenset({SlowUpload.code})),
        "no video": Kind(
            share=1,
            query="",
            body=lambda _: b"no video at all " * 100,
            expected=frozenset({UnsupportedContainer.code}),
        ),
        "half a video": Kind(
            share=1,
            query="",
            body=lambda files: files.clip[: len(files.clip) // 2],
            expected=frozenset({VideoCorrupt.code, NoVideoStream.code}),
        ),
        "damaged": Kind(
            share=5,
            query="views=2x1",
            body=lambda files: files.damaged(),
            expected=_MEDIA | {OK, FileMissing.code},  # cut before its first byte, it is no file at all
        ),
        "wrong option": Kind(share=1, query="views=0x0", expected=frozenset({BadParameter.code})),
        "too large": Kind(
            share=1, query="", body=lambda files: bytes(files.max_bytes + 1), expected=frozenset({TooLarge.code})
        ),
        "in a hurry": Kind(share=1, query=f"{slow_model}&deadline_ms=20", expected=frozenset({DeadlineExceeded.code})),
        "leaves its upload": Kind(share=1, query="views=1x1", leaves="upload"),
        "leaves its wait": Kind(share=1, query=slow_model, leaves="wait"),
        "leaves its events": Kind(share=1, query=slow_model, events=True, leaves="events"),
    }


def kinds_before_triton(idle_timeout_s: float) -> dict[str, Kind]:
    """Those for a server whose models a Triton runs, which is killed now and then: they may be told so."""
    away = {BackendUnavailable.code, BackendTimeout.code}
    return {
        f"{name}, Triton": replace(kind, query=kind.query.replace("model=slow&", ""), expected=kind.expected | away)
        for name, kind in kinds(idle_timeout_s).items()
        if name not in _OWN_SERVER
    }


class Client:
    """Sends requests of drawn kinds to one server."""

    def __init__(self, url: str, files: Files, draw: Random) -> None:
        self._url, self._files, self._draw = url, files, draw

    async def ask(self, kind: Kind) -> str:
        """Send one; :data:`OK`, :data:`LEFT`, :data:`LOST` or the code of the error that was told."""
        body, headers = self._request(kind)
        try:
            if kind.leaves:
                return await self._leave(kind, body, headers)
            async with httpx.AsyncClient(timeout=_TIMEOUT_S) as client:
                target = f"{self._url}/classify?{kind.query}"
                content = self._pieces(kind, body)
                async with client.stream("POST", target, content=content, headers=headers) as answer:
                    return _told(answer, await answer.aread())
        except (httpx.TransportError, OSError) as exc:
            return f"{LOST}: {type(exc).__name__}"

    def _request(self, kind: Kind) -> tuple[bytes, dict[str, str]]:
        body, headers = kind.body(self._files), {"connection": "close"}
        if kind.events:
            headers["accept"] = "text/event-stream"
        if kind.form:
            head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n'
            body = head.encode() + body + f"\r\n--{_BOUNDARY}--\r\n".encode()
            headers["content-type"] = f"multipart/form-data; boundary={_BOUNDARY}"
        return body, headers

    async def _pieces(self, kind: Kind, body: bytes) -> AsyncIterator[bytes]:
        size = -(-len(body) // _PIECES) or 1
        for start in range(0, len(body), size):
            yield body[start : start + size]
            if kind.slow:
                await asyncio.sleep(_PAUSE_S)
            if kind.stops_s and start == 0:
                await asyncio.sleep(kind.stops_s)

    async def _leave(self, kind: Kind, body: bytes, headers: Mapping[str, str]) -> str:
        """By hand, since a client that closes its connection in the middle is no client of a library."""
        parts = urlsplit(self._url)
        lines = {"host": "x", "content-length": str(len(body)), **headers}
        head = f"POST /classify?{kind.query} HTTP/1.1\r\n" + "".join(f"{key}: {lines[key]}\r\n" for key in lines)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        try:
            writer.write(f"{head}\r\n".encode() + (body[: len(body) // 2] if kind.leaves == "upload" else body))
            await writer.drain()
            if kind.leaves == "events":
                await asyncio.wait_for(reader.read(64), _TIMEOUT_S)
            await asyncio.sleep(self._draw.uniform(0, 0.3))
        finally:
            writer.close()
        return LEFT


def _told(answer: httpx.Response, body: bytes) -> str:
    if answer.headers.get("content-type", "").startswith("text/event-stream"):
        names = [line.removeprefix("event: ") for line in body.decode().splitlines() if line.startswith("event: ")]
        if names[-1:] == ["error"]:
            return _code(json.loads(body.decode().rpartition("data: ")[2]))
        return OK if names[-1:] == ["result"] else f"{LOST}: events end with {names[-1:]}"
    told = json.loads(body)
    if answer.status_code == httpx.codes.OK:
        return OK if told.get("predictions") is not None or "segments" in told else f"{LOST}: {body[:80]!r}"
    return _code(told)


def _code(told: Mapping[str, Mapping[str, str]]) -> str:
    return told["error"]["code"]
