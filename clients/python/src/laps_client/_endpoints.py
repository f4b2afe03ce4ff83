"""The endpoints of one server, for both clients: from a method's arguments to the attempts of its request."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar
from urllib.parse import quote

import httpx

from laps_client._api_keys import headers_with_key
from laps_client._attempts import Attempts, Request
from laps_client._httpx_errors import HTTPX_ERRORS, translated
from laps_client._options import ClassifyOptions, Query
from laps_client._responses import NOT_READY, OK, ReadResponse, readiness_of, result_of
from laps_client._results import Classification, ModelInfo, Models, Readiness
from laps_client._retry_policy import RetryPolicy
from laps_client._timeouts import Deadline, Timeouts
from laps_client._upload import Progress, Upload
from laps_client._video_source import AsyncVideoSource, VideoSource

T = TypeVar("T")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")  # the server replaces any other with one of its own
_ONCE = RetryPolicy(attempts=1)
_READY_S = 10.0  # a health check wants its answer now; a server that is silent for so long is not ready


def checked_url(base_url: str) -> httpx.URL:
    """The address of a server.

    Raises:
        BadRequest: it is none.
    """
    try:
        url = httpx.URL(base_url.rstrip("/"))
        if url.scheme not in ("http", "https") or not url.host:
            raise httpx.UnsupportedProtocol("it must begin with http:// or https:// and a host")
    except HTTPX_ERRORS as exc:
        raise translated(exc, where=f"base_url {base_url!r}") from exc
    return url


class Endpoints:
    """A server's address, and how patiently to ask it."""

    def __init__(
        self,
        base_url: str,
        *,
        timeouts: Timeouts,
        retries: RetryPolicy,
        headers: Mapping[str, str] | None,
        api_key: str | None = None,
    ) -> None:
        self._base_url = checked_url(base_url)
        self._timeouts = timeouts
        self._retries = retries
        self._headers = headers_with_key(self._base_url, api_key, headers or {})

    def classify(
        self,
        source: VideoSource | AsyncVideoSource,
        options: ClassifyOptions,
        *,
        on_progress: Progress | None = None,
        request_id: str | None = None,
        stream: bool = False,
    ) -> Attempts[Classification]:
        """``POST /classify`` with the raw body; ``stream`` asks for events on the way."""
        headers = {"Content-Type": "application/octet-stream"}
        request = self._request(
            "POST",
            "/classify",
            partial(result_of, Classification),
            query=options.query(),
            headers=headers | ({"Accept": "text/event-stream"} if stream else {}),
            request_id=request_id,
            sends_deadline=options.deadline_s is not None,
            has_heartbeats=stream,
        )
        deadline = Deadline.after(self._timeouts.total_s if options.deadline_s is None else options.deadline_s)
        upload = Upload(source, on_progress, deadline)
        return Attempts(request, timeouts=self._timeouts, retries=self._retries, deadline=deadline, upload=upload)

    def models(self) -> Attempts[Models]:
        """``GET /models``."""
        return self._get(self._request("GET", "/models", partial(result_of, Models)))

    def model(self, name: str, version: int | None) -> Attempts[ModelInfo]:
        """``GET /models/{name}``."""
        query: Query = {} if version is None else {"version": str(version)}
        path = f"/models/{quote(name, safe='')}"
        return self._get(self._request("GET", path, partial(result_of, ModelInfo), query=query))

    def ready(self) -> Attempts[Readiness]:
        """``GET /readyz``, once: whoever waits for readiness asks again by itself."""
        request = self._request("GET", "/readyz", readiness_of, accepted=frozenset({OK, NOT_READY}))
        most_s = min(_READY_S, self._timeouts.total_s or _READY_S)
        return Attempts(request, timeouts=self._timeouts, retries=_ONCE, deadline=Deadline.after(most_s))

    def _get(self, request: Request[T]) -> Attempts[T]:
        deadline = Deadline.after(self._timeouts.total_s)
        return Attempts(request, timeouts=self._timeouts, retries=self._retries, deadline=deadline)

    def _request(
        self,
        method: str,
        path: str,
        parse: Callable[[ReadResponse, str], T],
        *,
        query: Query | None = None,
        headers: dict[str, str] | None = None,
        request_id: str | None = None,
        accepted: frozenset[int] = frozenset({OK}),
        sends_deadline: bool = False,
        has_heartbeats: bool = False,
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
            sends_deadline=sends_deadline,
            has_heartbeats=has_heartbeats,
        )
