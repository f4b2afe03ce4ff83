"""The client for asyncio: as the blocking one, method by method; :mod:`laps_client.call` decides."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import aclosing, nullcontext
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
from laps_client.source import AsyncSource, AsyncVideo, async_source_of
from laps_client.timeouts import TimeIsUp, Timeouts
from laps_client.upload import Progress

T = TypeVar("T")


class AsyncLapsClient:
    """Sends videos to one server; as :class:`~laps_client.LapsClient`, whose arguments it takes, for asyncio.

    A video may also be an async iterable of bytes. Files and plain iterables are read in threads.
    """

    def __init__(
        self,
        base_url: str = BASE_URL,
        *,
        timeouts: Timeouts = TIMEOUTS,
        retries: RetryPolicy = RETRIES,
        headers: Mapping[str, str] | None = None,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        self._calls = Calls(base_url, timeouts=timeouts, retries=retries, headers=headers)
        self._http = http or httpx.AsyncClient(headers=user_agent())
        self._owns_http = http is None

    async def classify(
        self,
        video: AsyncVideo,
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
        """Classify one video; arguments and errors are those of :meth:`laps_client.LapsClient.classify`."""
        options = ClassifyOptions(model, version, views, top_k, frames, thumbnails, explain)
        source = async_source_of(video)
        call = self._calls.classify(
            source, options, deadline_s=deadline_s, on_progress=on_progress, request_id=request_id
        )
        return await self._perform(call, source)

    async def models(self) -> Models:
        """The served models and the server's limits."""
        return await self._perform(self._calls.models())

    async def model(self, name: str, *, version: int | None = None) -> ModelInfo:
        """One model in full; its highest version if none is given."""
        return await self._perform(self._calls.model(name, version))

    async def ready(self) -> Readiness:
        """Whether videos should be sent now; false, with the reason, also where nothing answers."""
        try:
            return await self._perform(self._calls.ready())
        except Unavailable as exc:
            return Readiness(ready=False, reason=exc.message)

    async def close(self) -> None:
        """Close the connections."""
        if self._owns_http:
            await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _perform(self, call: Call[T], source: AsyncSource | None = None) -> T:
        while True:
            try:
                reply = await self._bounded_attempt(call, source)
            except EXPECTED as exc:
                wait_s = call.after_failure(exc)
            else:
                if call.accepts(reply):
                    return call.result(reply)
                wait_s = call.after_refusal(reply)
            await asyncio.sleep(wait_s)

    async def _bounded_attempt(self, call: Call[T], source: AsyncSource | None) -> Reply:
        try:
            left_s = None if call.deadline.at is None else call.deadline.remaining_s
            async with asyncio.timeout(left_s) as bound:
                return await self._attempt(call, source)
        except TimeoutError as exc:
            if not bound.expired():  # the source's own
                raise
            raise TimeIsUp from exc

    async def _attempt(self, call: Call[T], source: AsyncSource | None) -> Reply:
        body = None if source is None or call.upload is None else call.upload.async_body(source)
        async with aclosing(body) if body is not None else nullcontext():
            request = self._http.build_request(content=body, **call.arguments())
            async with aclosing(await self._http.send(request, stream=True)) as response:
                content = bytearray()
                async for chunk in response.aiter_bytes():
                    content += chunk
                    call.check_size(len(content))
        return Reply(response.status_code, response.headers, bytes(content))
