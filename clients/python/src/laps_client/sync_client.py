"""The blocking client: moves bytes and waits; :mod:`laps_client.call` decides."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import httpx

from laps_client.answers import Reply
from laps_client.call import EXPECTED, Call
from laps_client.calls import Calls, ClassifyOptions, Options
from laps_client.defaults import BASE_URL, RETRIES, TIMEOUTS, user_agent
from laps_client.errors import Unavailable
from laps_client.events import Event
from laps_client.interrupt import Interrupt
from laps_client.many import ManyEvents, ManyProgress, Outcome, P, check_concurrency, in_threads
from laps_client.results import Classification, ModelInfo, Models, Readiness
from laps_client.retry import RetryPolicy
from laps_client.source import Source, Video, file_source_of, source_of
from laps_client.timeouts import Timeouts
from laps_client.upload import Progress

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Route:
    """How a call's bytes go: over whose connections, and who may end it."""

    http: httpx.Client
    interrupt: Interrupt | None = None

    def arguments(self, call: Call[T]) -> dict[str, Any]:
        arguments = call.arguments()
        return arguments if self.interrupt is None else self.interrupt.attach(arguments)

    def check(self) -> None:
        if self.interrupt is not None:
            self.interrupt.check()

    def sleep(self, seconds: float) -> None:
        if self.interrupt is None:
            time.sleep(seconds)
        else:
            self.interrupt.sleep(seconds)


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
        self._route = _Route(self._http)

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
        segments: str | float | None = None,
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
            thumbnails: return the sampled frames as small JPEGs; with ``segments``, the middle one of each.
            explain: return frames, pts and crop boxes of every view.
            segments: classify stretches of this length too, each by itself: seconds, or as ``"10s"`` or ``"2m"``.
            deadline_s: seconds for the whole call, upload, retries and waits included. The server is told, and
                stops its work then.
            on_progress: called with the bytes sent and the size (None if not known), from 0 in each attempt.
            request_id: to find the call in the server's log; made up if not given.

        Raises:
            LapsError: one of the tree in :mod:`laps_client.errors`.
            OSError: the file cannot be read.
        """
        options = ClassifyOptions(
            model, version, views, top_k, frames, thumbnails, explain, segments=segments, deadline_s=deadline_s
        )
        source = source_of(video)
        call = self._calls.classify(source, options, on_progress=on_progress, request_id=request_id)
        return self._perform(call, source)

    def stream(
        self,
        video: Video,
        *,
        on_progress: Progress | None = None,
        request_id: str | None = None,
        **options: Unpack[Options],
    ) -> Generator[Event, None, None]:
        """Classify one video and tell of it meanwhile: events as they come, the :class:`Classification` last.

        Arguments and errors are those of :meth:`classify`. An attempt that fails is repeated only while none of its
        events was given out. Closing the generator closes the connection, and the server stops its work. A server
        that knows no streams gives the classification alone.
        """
        source = source_of(video)
        call = self._calls.classify(
            source, ClassifyOptions(**options), on_progress=on_progress, request_id=request_id, stream=True
        )
        return self._events(call, source, self._route)

    def classify_many(
        self,
        paths: Iterable[P],
        *,
        concurrency: int = 4,
        on_progress: ManyProgress[P] | None = None,
        on_event: ManyEvents[P] | None = None,
        **options: Unpack[Options],
    ) -> Generator[Outcome[P], None, None]:
        """Classify many files and yield what became of each, in the order in which they finish.

        A file that cannot be read or classified is an outcome with an error; the others go on. Paths are taken as
        their turn comes, so that there may be any number of them. Closing the generator ends the calls that run.

        Args:
            paths: of files.
            concurrency: files in flight at once, each in a thread.
            on_progress: called in those threads with the path, its bytes sent, and its size.
            on_event: called there too, with the path and each event of its stream but the result. Where an attempt
                is repeated, its events are told again, from the first.
            **options: as :meth:`classify` takes them; the deadline is that of each file.
        """
        check_concurrency(concurrency)
        return self._outcomes(paths, ClassifyOptions(**options), concurrency, on_progress, on_event)

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

    def _outcomes(
        self,
        paths: Iterable[P],
        options: ClassifyOptions,
        concurrency: int,
        on_progress: ManyProgress[P] | None,
        on_event: ManyEvents[P] | None,
    ) -> Generator[Outcome[P], None, None]:
        # A call can be ended while it opens its connection itself; none may be left over here from an earlier call.
        http = httpx.Client(headers=user_agent()) if self._owns_http else self._http
        interrupt = Interrupt()
        route = _Route(http, interrupt)

        def classify(path: P) -> Classification:
            source = file_source_of(path)
            progress = None if on_progress is None else partial(on_progress, path)
            call = self._calls.classify(source, options, on_progress=progress, stream=on_event is not None)
            if on_event is None:
                return self._perform(call, source, route)
            with closing(self._events(call, source, route, once=False)) as events:
                return _last(events, partial(on_event, path))

        with closing(http) if self._owns_http else nullcontext():
            yield from in_threads(paths, classify, concurrency=concurrency, interrupt=interrupt)

    def _events(
        self, call: Call[Classification], source: Source, route: _Route, *, once: bool = True
    ) -> Generator[Event, None, None]:
        """``once``: an event that was given out is not given out again."""
        while True:
            try:
                with self._answer(call, source, route) as response:
                    if call.streams(response):
                        for event in _told(call, response):
                            call.given_out = once
                            yield event
                        return
                    reply = _whole(call, response)
            except EXPECTED as exc:
                route.check()
                wait_s = call.after_failure(exc)
            else:
                if call.accepts(reply):
                    yield call.result(reply)
                    return
                wait_s = call.after_refusal(reply)
            route.sleep(wait_s)

    def _perform(self, call: Call[T], source: Source | None = None, route: _Route | None = None) -> T:
        route = route or self._route
        while True:
            try:
                with self._answer(call, source, route) as response:
                    reply = _whole(call, response)
            except EXPECTED as exc:
                route.check()
                wait_s = call.after_failure(exc)
            else:
                if call.accepts(reply):
                    return call.result(reply)
                wait_s = call.after_refusal(reply)
            route.sleep(wait_s)

    @contextmanager
    def _answer(self, call: Call[T], source: Source | None, route: _Route) -> Iterator[httpx.Response]:
        """One attempt, up to the answer's headers; left early, it closes the connection."""
        body = None if source is None or call.upload is None else call.upload.body(source)
        with closing(body) if body is not None else nullcontext():
            request = route.http.build_request(content=body, **route.arguments(call))
            with closing(route.http.send(request, stream=True)) as response:
                yield response


def _whole(call: Call[T], response: httpx.Response) -> Reply:
    content = bytearray()
    for chunk in response.iter_bytes():
        content += chunk
        call.check_size(len(content))
    return Reply(response.status_code, response.headers, bytes(content))


def _told(call: Call[Classification], response: httpx.Response) -> Iterator[Event]:
    reader = call.reader()
    for chunk in response.iter_bytes():
        for event in reader.feed(chunk):
            yield event
            if isinstance(event, Classification):
                return
        call.deadline.check()
    reader.end()


def _last(events: Iterable[Event], tell: Callable[[Event], object]) -> Classification:
    """The result, which is the last event; the others are told as they come."""
    for event in events:
        if isinstance(event, Classification):
            return event
        tell(event)
    raise AssertionError("events end with a result or an error")
