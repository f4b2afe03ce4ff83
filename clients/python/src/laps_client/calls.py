"""The API's calls, as both clients begin them: from a method's arguments to a :class:`~laps_client.call.Call`."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import TypedDict, TypeVar
from urllib.parse import quote

import httpx

from laps_client.answers import NOT_READY, OK, Reply, readiness_of, result_of
from laps_client.call import Call, Request
from laps_client.foreign import FOREIGN, translated
from laps_client.results import Classification, ModelInfo, Models, Readiness
from laps_client.retry import RetryPolicy
from laps_client.source import AsyncSource, Source
from laps_client.timeouts import Deadline, Timeouts, check_seconds
from laps_client.upload import Progress, Upload

T = TypeVar("T")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")  # the server replaces any other with one of its own
_ONCE = RetryPolicy(attempts=1)
_READY_S = 10.0  # whoever asks for readiness wants to know now; a server that is silent for so long is not ready


class Options(TypedDict, total=False):
    """What ``stream`` and ``classify_many`` take as ``classify`` does."""

    model: str | None
    version: int | None
    views: str | None
    top_k: int | None
    frames: bool
    thumbnails: bool
    explain: bool
    segments: str | float | None
    deadline_s: float | None


@dataclass(frozen=True, slots=True)
class ClassifyOptions:
    """Options of ``POST /classify``. What is at its default is not sent, so that a server without it still answers."""

    model: str | None = None
    version: int | None = None
    views: str | None = None
    top_k: int | None = None
    frames: bool = True
    thumbnails: bool = False
    explain: bool = False
    segments: str | float | None = None
    deadline_s: float | None = None

    def __post_init__(self) -> None:
        check_seconds("deadline_s", self.deadline_s)
        if not isinstance(self.segments, str):
            check_seconds("segments", self.segments)

    def query(self) -> dict[str, str]:
        """As the query string has them, but for the deadline, which is told as what is left of it."""
        given = {
            "model": self.model,
            "version": self.version,
            "views": self.views,
            "top_k": self.top_k,
            "segments": _length(self.segments),
        }
        query = {name: str(value) for name, value in given.items() if value is not None}
        flags = {
            "frames": (self.frames, True),
            "thumbnails": (self.thumbnails, False),
            "explain": (self.explain, False),
        }
        return query | {name: str(bool(value)).lower() for name, (value, usual) in flags.items() if value != usual}


def _length(segments: str | float | None) -> str | None:
    """A length of time as the server reads it: a number of seconds never in the notation ``1e-05``."""
    return segments if segments is None or isinstance(segments, str) else f"{Decimal(str(segments)):f}s"


def _checked_url(base_url: str) -> httpx.URL:
    try:
        url = httpx.URL(base_url.rstrip("/"))
        if url.scheme not in ("http", "https") or not url.host:
            raise httpx.UnsupportedProtocol("it must begin with http:// or https:// and a host")
    except FOREIGN as exc:
        raise translated(exc, where=f"base_url {base_url!r}") from exc
    return url


class Calls:
    """A server's address and how patiently to call it."""

    def __init__(
        self, base_url: str, *, timeouts: Timeouts, retries: RetryPolicy, headers: Mapping[str, str] | None
    ) -> None:
        self._base_url = _checked_url(base_url)
        self._timeouts = timeouts
        self._retries = retries
        self._headers = dict(headers or {})

    def classify(
        self,
        source: Source | AsyncSource,
        options: ClassifyOptions,
        *,
        on_progress: Progress | None = None,
        request_id: str | None = None,
        stream: bool = False,
    ) -> Call[Classification]:
        """``POST /classify`` with the raw body; ``stream`` asks for events on the way."""
        headers = {"Content-Type": "application/octet-stream"}
        request = self._request(
            "POST",
            "/classify",
            partial(result_of, Classification),
            query=options.query(),
            headers=headers | ({"Accept": "text/event-stream"} if stream else {}),
            request_id=request_id,
            tell_deadline=options.deadline_s is not None,
            beats=stream,
        )
        deadline = Deadline.after(self._timeouts.total_s if options.deadline_s is None else options.deadline_s)
        upload = Upload(source, on_progress, deadline)
        return Call(request, timeouts=self._timeouts, retries=self._retries, deadline=deadline, upload=upload)

    def models(self) -> Call[Models]:
        """``GET /models``."""
        return self._get(self._request("GET", "/models", partial(result_of, Models)))

    def model(self, name: str, version: int | None) -> Call[ModelInfo]:
        """``GET /models/{name}``."""
        query = {} if version is None else {"version": str(version)}
        path = f"/models/{quote(name, safe='')}"
        return self._get(self._request("GET", path, partial(result_of, ModelInfo), query=query))

    def ready(self) -> Call[Readiness]:
        """``GET /readyz``, once: a caller that waits for readiness asks again by itself."""
        request = self._request("GET", "/readyz", readiness_of, accepted=frozenset({OK, NOT_READY}))
        most_s = min(_READY_S, self._timeouts.total_s or _READY_S)
        return Call(request, timeouts=self._timeouts, retries=_ONCE, deadline=Deadline.after(most_s))

    def _get(self, request: Request[T]) -> Call[T]:
        deadline = Deadline.after(self._timeouts.total_s)
        return Call(request, timeouts=self._timeouts, retries=self._retries, deadline=deadline)

    def _request(
        self,
        method: str,
        path: str,
        parse: Callable[[Reply, str], T],
        *,
        query: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        request_id: str | None = None,
        accepted: frozenset[int] = frozenset({OK}),
        tell_deadline: bool = False,
        beats: bool = False,
    ) -> Request[T]:
        if request_id is not None and not _REQUEST_ID.fullmatch(request_id):
            raise ValueError(f"request_id is {request_id!r}; it must be 1 to 128 letters, digits or any of . _ : -")
        chosen = request_id or uuid.uuid4().hex
        return Request(
            method=method,
            url=self._base_url.copy_with(raw_path=self._base_url.raw_path.rstrip(b"/") + path.encode("ascii")),
            headers={**self._headers, **(headers or {}), "X-Request-ID": chosen},
            query=query or {},
            request_id=chosen,
            parse=parse,
            accepted=accepted,
            tell_deadline=tell_deadline,
            beats=beats,
        )
