"""The blocking client: moves bytes and waits; :mod:`laps_client.call` decides."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing, nullcontext
from types import TracebackType
from typing import Self, TypeVar

import httpx

from laps_client.answers import Reply
from laps_client.call import EXPECTED, Call
from laps_client.calls import Calls, ClassifyOptions
from laps_client.defaults import BASE_URL, RETRIES, TIMEOUTS, user_agent
from laps_client.errors import Unavailable
from laps_client.results import Classification, ModelInfo, Models, Readiness
from laps_client.retry import RetryPolicy
from laps_client.source import Source, Video, source_of
from laps_client.timeouts import Timeouts
from laps_client.upload import Progress

T = TypeVar("T")


class LapsClient:
    """Sends videos to one server. Threads may share it.

    Args:
        base_url: of the server, with the path prefix of a proxy where there is one.
        timeouts: of each wait and of a whole call.
        retries: how often and after how long a call is tried again.
        headers: sent with every request, as for a proxy that wants a token.
        http: an httpx client to use, as for certificates of your own or a proxy; it stays yours to close. Its
            timeouts are not used.
    """

    def __init__(
        self,
        base_url: str = BASE_URL,
        *,
        timeouts: Timeouts = TIMEOUTS,
        retries: RetryPolicy = RETRIES,
        headers: Mapping[str, str] | None = None,
        http: httpx.Client | None = None,
    ) -> None:
        self._calls = Calls(base_url, timeouts=timeouts, retries=retries, headers=headers)
        self._http = http or httpx.Client(headers=user_agent())
        self._owns_http = http is None

    def classify(
        self,
        video: Video,
        *,
        model: str | None = None,
        version: int | None = None,
        views: str | None = None,
        top_k: int | None = None,
        frames: bool = True,
        thumbnails: bool = False,
        explain: bool = False,
        deadline_s: float | None = None,
        on_progress: Progress | None = None,
        request_id: str | None = None,
    ) -> Classification:
        """Classify one video.

        Args:
            video: a path, bytes, a binary file object (sent from where it stands) or an iterable of bytes. Only a
                regular file, bytes, a file that can seek and a list are sent again when an attempt fails.
            model: the server's default if not given.
            version: the highest served if not given.
            views: clips along time x crops, as ``"5x3"``; the model's default if not given.
            top_k: labels to return; the server's default, 5, if not given.
            frames: return scores over time.
            thumbnails: return the sampled frames as small JPEGs.
            explain: return frames, pts and crop boxes of every view.
            deadline_s: seconds for the whole call, upload, retries and waits included. The server is told, and
                stops its work then.
            on_progress: called with the bytes sent and the size (None if not known), from 0 in each attempt.
            request_id: to find the call in the server's log; made up if not given.

        Raises:
            LapsError: one of the tree in :mod:`laps_client.errors`.
            OSError: the file cannot be read.
        """
        options = ClassifyOptions(model, version, views, top_k, frames, thumbnails, explain)
        source = source_of(video)
        call = self._calls.classify(
            source, options, deadline_s=deadline_s, on_progress=on_progress, request_id=request_id
        )
        return self._perform(call, source)

    def models(self) -> Models:
        """The served models and the server's limits."""
        return self._perform(self._calls.models())

    def model(self, name: str, *, version: int | None = None) -> ModelInfo:
        """One model in full; its highest version if none is given."""
        return self._perform(self._calls.model(name, version))

    def ready(self) -> Readiness:
        """Whether videos should be sent now; false, with the reason, also where nothing answers."""
        try:
            return self._perform(self._calls.ready())
        except Unavailable as exc:
            return Readiness(ready=False, reason=exc.message)

    def close(self) -> None:
        """Close the connections."""
        if self._owns_http:
            self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _perform(self, call: Call[T], source: Source | None = None) -> T:
        while True:
            try:
                reply = self._attempt(call, source)
            except EXPECTED as exc:
                wait_s = call.after_failure(exc)
            else:
                if call.accepts(reply):
                    return call.result(reply)
                wait_s = call.after_refusal(reply)
            time.sleep(wait_s)

    def _attempt(self, call: Call[T], source: Source | None) -> Reply:
        body = None if source is None or call.upload is None else call.upload.body(source)
        with closing(body) if body is not None else nullcontext():
            request = self._http.build_request(content=body, **call.arguments())
            with closing(self._http.send(request, stream=True)) as response:
                content = bytearray()
                for chunk in response.iter_bytes():
                    content += chunk
                    call.check_size(len(content))
        return Reply(response.status_code, response.headers, bytes(content))
