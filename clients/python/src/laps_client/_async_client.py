"""The client for asyncio, method by method as the blocking one: moves bytes and waits; ``_attempts.py`` decides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, nullcontext
from functools import partial
from types import TracebackType
from typing import Self, TypeVar, Unpack

import httpx

from laps_client._attempts import ATTEMPT_ERRORS, Attempts
from laps_client._concurrency import check_concurrency, in_tasks
from laps_client._defaults import BASE_URL, RETRIES, TIMEOUTS, user_agent
from laps_client._endpoints import Endpoints
from laps_client._events import Event
from laps_client._options import ClassifyOptions, Options
from laps_client._outcome import ManyEvents, ManyProgress, Outcome, P
from laps_client._responses import ReadResponse
from laps_client._results import Classification, ModelInfo, Models, Readiness
from laps_client._retry_policy import RetryPolicy
from laps_client._timeouts import Deadline, TimeIsUp, Timeouts
from laps_client._upload import Progress
from laps_client._video_source import AsyncVideo, AsyncVideoSource, async_file_source_of, async_source_of
from laps_client.errors import Unavailable

T = TypeVar("T")


class AsyncLapsClient:
    """Sends videos to one server, under asyncio; its arguments are those of :class:`~laps_client.LapsClient`.

    A video may also be an async iterable of bytes, or a file object with an async ``read``. Files and plain iterables
    are read in threads.
    """

    def __init__(
        self,
        base_url: str = BASE_URL,
        *,
        timeouts: Timeouts = TIMEOUTS,
        retries: RetryPolicy = RETRIES,
        headers: Mapping[str, str] | None = None,
        api_key: str | None = None,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        self._endpoints = Endpoints(base_url, timeouts=timeouts, retries=retries, headers=headers, api_key=api_key)
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
        view_details: bool = False,
        segments: str | float | None = None,
        labels: Sequence[str] | None = None,
        embedding: bool = False,
        deadline_s: float | None = None,
        on_progress: Progress | None = None,
        request_id: str | None = None,
        explain: bool | None = None,
    ) -> Classification:
        """Classify one video; arguments and errors are those of :meth:`laps_client.LapsClient.classify`."""
        options = ClassifyOptions(
            model=model,
            version=version,
            views=views,
            top_k=top_k,
            frames=frames,
            thumbnails=thumbnails,
            view_details=view_details,
            segments=segments,
            labels=labels,
            embedding=embedding,
            deadline_s=deadline_s,
            explain=explain,
        )
        source = async_source_of(video)
        attempts = self._endpoints.classify(source, options, on_progress=on_progress, request_id=request_id)
        return await self._perform(attempts, source)

    def stream(
        self,
        video: AsyncVideo,
        *,
        on_progress: Progress | None = None,
        request_id: str | None = None,
        **options: Unpack[Options],
    ) -> AsyncGenerator[Event, None]:
        """Classify one video and yield events as they come; as :meth:`laps_client.LapsClient.stream`."""
        source = async_source_of(video)
        attempts = self._endpoints.classify(
            source, ClassifyOptions(**options), on_progress=on_progress, request_id=request_id, stream=True
        )
        return self._events(attempts, source)

    def classify_many(
        self,
        paths: Iterable[P] | AsyncIterable[P],
        *,
        concurrency: int = 4,
        on_progress: ManyProgress[P] | None = None,
        on_event: ManyEvents[P] | None = None,
        **options: Unpack[Options],
    ) -> AsyncGenerator[Outcome[P], None]:
        """Classify many files and yield an outcome for each; as :meth:`laps_client.LapsClient.classify_many`.

        The paths may come from an async iterable, which may wait for more.
        """
        check_concurrency(concurrency)
        chosen = ClassifyOptions(**options)

        async def classify(path: P) -> Classification:
            source = async_file_source_of(path)
            progress = None if on_progress is None else partial(on_progress, path)
            attempts = self._endpoints.classify(source, chosen, on_progress=progress, stream=on_event is not None)
            if on_event is None:
                return await self._perform(attempts, source)
            async with aclosing(self._events(attempts, source, repeats=True)) as events:
                return await _result_of(events, partial(on_event, path))

        return in_tasks(paths, classify, concurrency=concurrency)

    async def models(self) -> Models:
        """The served models and the server's limits."""
        return await self._perform(self._endpoints.models())

    async def model(self, name: str, *, version: int | None = None) -> ModelInfo:
        """One model in full; its highest version if none is given."""
        return await self._perform(self._endpoints.model(name, version))

    async def ready(self) -> Readiness:
        """Whether the server takes videos now; if not, or if nothing answers, the reason says why."""
        try:
            return await self._perform(self._endpoints.ready())
        except Unavailable as exc:
            return Readiness(ready=False, reason=exc.message)

    async def close(self) -> None:
        """Close the connections."""
        if self._owns_http:
            await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _events(
        self, attempts: Attempts[Classification], source: AsyncVideoSource, *, repeats: bool = False
    ) -> AsyncGenerator[Event, None]:
        """With ``repeats``, an attempt that fails after its first events is repeated too, and so are the events."""
        while True:
            try:
                async with AsyncExitStack() as stack:
                    async with _within(attempts.deadline):
                        response = await stack.enter_async_context(self._attempt(attempts, source))
                    if attempts.is_stream(response):
                        async with aclosing(_read_events(attempts, response)) as events:
                            async for event in events:
                                attempts.events_delivered = not repeats
                                yield event
                        return
                    async with _within(attempts.deadline):
                        whole = await _read_whole(attempts, response)
            except ATTEMPT_ERRORS as exc:
                wait_s = attempts.after_failure(exc)
            else:
                if attempts.accepts(whole):
                    yield attempts.result(whole)
                    return
                wait_s = attempts.after_refusal(whole)
            await asyncio.sleep(wait_s)

    async def _perform(self, attempts: Attempts[T], source: AsyncVideoSource | None = None) -> T:
        while True:
            try:
                async with _within(attempts.deadline), self._attempt(attempts, source) as response:
                    whole = await _read_whole(attempts, response)
            except ATTEMPT_ERRORS as exc:
                wait_s = attempts.after_failure(exc)
            else:
                if attempts.accepts(whole):
                    return attempts.result(whole)
                wait_s = attempts.after_refusal(whole)
            await asyncio.sleep(wait_s)

    @asynccontextmanager
    async def _attempt(self, attempts: Attempts[T], source: AsyncVideoSource | None) -> AsyncIterator[httpx.Response]:
        """One attempt, up to the response's headers; left early, it closes the connection."""
        body = None if source is None or attempts.upload is None else attempts.upload.async_body(source)
        async with aclosing(body) if body is not None else nullcontext():
            request = self._http.build_request(content=body, **attempts.next_request())
            async with aclosing(await self._http.send(request, stream=True)) as response:
                yield response


@asynccontextmanager
async def _within(deadline: Deadline) -> AsyncIterator[None]:
    """Cancels what is awaited inside when the deadline passes. A generator must not yield to its user inside."""
    try:
        async with asyncio.timeout(None if deadline.at is None else deadline.remaining_s) as bound:
            yield
    except TimeoutError as exc:
        if not bound.expired():  # the source's own
            raise
        raise TimeIsUp from exc


async def _read_whole(attempts: Attempts[T], response: httpx.Response) -> ReadResponse:
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        attempts.check_size(len(content))
    return ReadResponse(response.status_code, response.headers, bytes(content))


async def _read_events(attempts: Attempts[Classification], response: httpx.Response) -> AsyncGenerator[Event, None]:
    reader = attempts.event_reader()
    chunks = response.aiter_bytes()
    while True:
        async with _within(attempts.deadline):
            chunk = await anext(chunks, None)
        if chunk is None:
            reader.end()
            return
        for event in reader.feed(chunk):
            yield event
            if isinstance(event, Classification):
                return


async def _result_of(events: AsyncIterable[Event], on_event: Callable[[Event], object]) -> Classification:
    """The result, which is the last event; ``on_event`` gets the others as they come."""
    async for event in events:
        if isinstance(event, Classification):
            return event
        on_event(event)
    raise AssertionError("events end with a result or an error")
