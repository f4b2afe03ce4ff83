"""The client for asyncio: as the blocking one, method by method; :mod:`laps_client.call` decides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, nullcontext
from functools import partial
from types import TracebackType
from typing import Self, TypeVar, Unpack

import httpx

from laps_client.answers import Reply
from laps_client.call import EXPECTED, Call
from laps_client.calls import Calls, ClassifyOptions, Options
from laps_client.defaults import BASE_URL, RETRIES, TIMEOUTS, user_agent
from laps_client.errors import Unavailable
from laps_client.events import Event
from laps_client.many import ManyEvents, ManyProgress, Outcome, P, check_concurrency, in_tasks
from laps_client.results import Classification, ModelInfo, Models, Readiness
from laps_client.retry import RetryPolicy
from laps_client.source import AsyncSource, AsyncVideo, async_file_source_of, async_source_of
from laps_client.timeouts import Deadline, TimeIsUp, Timeouts
from laps_client.upload import Progress

T = TypeVar("T")


class AsyncLapsClient:
    """Sends videos to one server; as :class:`~laps_client.LapsClient`, whose arguments it takes, for asyncio.

    A video may also be an async iterable of bytes, or a file object whose ``read`` is to be awaited. Files and plain
    iterables are read in threads.
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
        segments: str | float | None = None,
        deadline_s: float | None = None,
        on_progress: Progress | None = None,
        request_id: str | None = None,
    ) -> Classification:
        """Classify one video; arguments and errors are those of :meth:`laps_client.LapsClient.classify`."""
        options = ClassifyOptions(
            model, version, views, top_k, frames, thumbnails, explain, segments=segments, deadline_s=deadline_s
        )
        source = async_source_of(video)
        call = self._calls.classify(source, options, on_progress=on_progress, request_id=request_id)
        return await self._perform(call, source)

    def stream(
        self,
        video: AsyncVideo,
        *,
        on_progress: Progress | None = None,
        request_id: str | None = None,
        **options: Unpack[Options],
    ) -> AsyncGenerator[Event, None]:
        """Classify one video and tell of it meanwhile; as :meth:`laps_client.LapsClient.stream`."""
        source = async_source_of(video)
        call = self._calls.classify(
            source, ClassifyOptions(**options), on_progress=on_progress, request_id=request_id, stream=True
        )
        return self._events(call, source)

    def classify_many(
        self,
        paths: Iterable[P] | AsyncIterable[P],
        *,
        concurrency: int = 4,
        on_progress: ManyProgress[P] | None = None,
        on_event: ManyEvents[P] | None = None,
        **options: Unpack[Options],
    ) -> AsyncGenerator[Outcome[P], None]:
        """Classify many files and yield what became of each; as :meth:`laps_client.LapsClient.classify_many`.

        The paths may come from an async iterable, which may wait for them.
        """
        check_concurrency(concurrency)
        chosen = ClassifyOptions(**options)

        async def classify(path: P) -> Classification:
            source = async_file_source_of(path)
            progress = None if on_progress is None else partial(on_progress, path)
            call = self._calls.classify(source, chosen, on_progress=progress, stream=on_event is not None)
            if on_event is None:
                return await self._perform(call, source)
            async with aclosing(self._events(call, source, once=False)) as events:
                return await _last(events, partial(on_event, path))

        return in_tasks(paths, classify, concurrency=concurrency)

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

    async def _events(
        self, call: Call[Classification], source: AsyncSource, *, once: bool = True
    ) -> AsyncGenerator[Event, None]:
        """``once``: an event that was given out is not given out again."""
        while True:
            try:
                async with AsyncExitStack() as stack:
                    async with _within(call.deadline):
                        response = await stack.enter_async_context(self._answer(call, source))
                    if call.streams(response):
                        async with aclosing(_told(call, response)) as events:
                            async for event in events:
                                call.given_out = once
                                yield event
                        return
                    async with _within(call.deadline):
                        reply = await _whole(call, response)
            except EXPECTED as exc:
                wait_s = call.after_failure(exc)
            else:
                if call.accepts(reply):
                    yield call.result(reply)
                    return
                wait_s = call.after_refusal(reply)
            await asyncio.sleep(wait_s)

    async def _perform(self, call: Call[T], source: AsyncSource | None = None) -> T:
        while True:
            try:
                async with _within(call.deadline), self._answer(call, source) as response:
                    reply = await _whole(call, response)
            except EXPECTED as exc:
                wait_s = call.after_failure(exc)
            else:
                if call.accepts(reply):
                    return call.result(reply)
                wait_s = call.after_refusal(reply)
            await asyncio.sleep(wait_s)

    @asynccontextmanager
    async def _answer(self, call: Call[T], source: AsyncSource | None) -> AsyncIterator[httpx.Response]:
        """One attempt, up to the answer's headers; left early, it closes the connection."""
        body = None if source is None or call.upload is None else call.upload.async_body(source)
        async with aclosing(body) if body is not None else nullcontext():
            request = self._http.build_request(content=body, **call.arguments())
            async with aclosing(await self._http.send(request, stream=True)) as response:
                yield response


@asynccontextmanager
async def _within(deadline: Deadline) -> AsyncIterator[None]:
    """Cancels what is awaited inside as the deadline passes. Nothing may be yielded to a caller inside."""
    try:
        async with asyncio.timeout(None if deadline.at is None else deadline.remaining_s) as bound:
            yield
    except TimeoutError as exc:
        if not bound.expired():  # the source's own
            raise
        raise TimeIsUp from exc


async def _whole(call: Call[T], response: httpx.Response) -> Reply:
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        call.check_size(len(content))
    return Reply(response.status_code, response.headers, bytes(content))


async def _told(call: Call[Classification], response: httpx.Response) -> AsyncGenerator[Event, None]:
    reader = call.reader()
    chunks = response.aiter_bytes()
    while True:
        async with _within(call.deadline):
            chunk = await anext(chunks, None)
        if chunk is None:
            reader.end()
            return
        for event in reader.feed(chunk):
            yield event
            if isinstance(event, Classification):
                return


async def _last(events: AsyncIterable[Event], tell: Callable[[Event], object]) -> Classification:
    """The result, which is the last event; the others are told as they come."""
    async for event in events:
        if isinstance(event, Classification):
            return event
        tell(event)
    raise AssertionError("events end with a result or an error")
