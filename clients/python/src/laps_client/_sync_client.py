"""The blocking client: moves bytes and waits; ``_attempts.py`` decides."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import httpx

from laps_client._attempts import ATTEMPT_ERRORS, Attempts
from laps_client._concurrency import check_concurrency, in_threads
from laps_client._defaults import BASE_URL, RETRIES, TIMEOUTS, user_agent
from laps_client._endpoints import Endpoints
from laps_client._events import Event
from laps_client._interrupt import Interrupt
from laps_client._options import ClassifyOptions, Options
from laps_client._outcome import ManyEvents, ManyProgress, Outcome, P
from laps_client._responses import ReadResponse
from laps_client._results import Classification, ModelInfo, Models, Readiness
from laps_client._retry_policy import RetryPolicy
from laps_client._timeouts import Timeouts
from laps_client._upload import Progress
from laps_client._video_source import Video, VideoSource, file_source_of, source_of
from laps_client.errors import Unavailable

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Connections:
    """Whose connections a request uses, and what may interrupt it."""

    http: httpx.Client
    interrupt: Interrupt | None = None

    def next_request(self, attempts: Attempts[T]) -> dict[str, Any]:
        arguments = attempts.next_request()
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
        timeouts: of each wait and of a whole request.
        retries: how often and after how long a request is tried again.
        headers: sent with every request, for example a token for a proxy.
        api_key: that the server asks for; else ``LAPS_API_KEY``, else what ``laps login`` keeps for this server.
        http: an httpx client to use, for a proxy or certificates of your own. Its timeouts are not used, and you
            close it.
    """

    def __init__(
        self,
        base_url: str = BASE_URL,
        *,
        timeouts: Timeouts = TIMEOUTS,
        retries: RetryPolicy = RETRIES,
        headers: Mapping[str, str] | None = None,
        api_key: str | None = None,
        http: httpx.Client | None = None,
    ) -> None:
        self._endpoints = Endpoints(base_url, timeouts=timeouts, retries=retries, headers=headers, api_key=api_key)
        self._http = http or httpx.Client(headers=user_agent())
        self._owns_http = http is None
        self._channel = _Connections(self._http)

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
        view_details: bool = False,
        segments: str | float | None = None,
        labels: Sequence[str] | None = None,
        embedding: bool = False,
        deadline_s: float | None = None,
        on_progress: Progress | None = None,
        request_id: str | None = None,
        explain: bool | None = None,
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
            view_details: return frames, pts and crop box of every view; refused by servers older than 0.2.
            segments: also classify the video in segments of this length: seconds, or as ``"10s"`` or ``"2m"``.
            labels: rank these labels alone; their scores stay what they are among all.
            embedding: return the views' mean embedding, at length 1, of a model that gives one.
            deadline_s: seconds for the whole request: upload, retries and waits included. The server is sent it too,
                and stops its work then.
            on_progress: called with the bytes sent and the size (None if not known), from 0 in each attempt.
            request_id: to find the request in the server's log; made up if not given.
            explain: the old name of ``view_details``.

        Raises:
            LapsError: one of the tree in :mod:`laps_client.errors`.
            OSError: the file cannot be read.
        """
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
        source = source_of(video)
        attempts = self._endpoints.classify(source, options, on_progress=on_progress, request_id=request_id)
        return self._perform(attempts, source)

    def stream(
        self,
        video: Video,
        *,
        on_progress: Progress | None = None,
        request_id: str | None = None,
        **options: Unpack[Options],
    ) -> Generator[Event, None, None]:
        """Classify one video and yield events as they come, the :class:`Classification` last.

        Arguments and errors are those of :meth:`classify`. An attempt that fails is repeated only as long as none of
        its events was yielded. Closing the generator closes the connection, and the server stops its work. A server
        without streams gives the classification alone.
        """
        source = source_of(video)
        attempts = self._endpoints.classify(
            source, ClassifyOptions(**options), on_progress=on_progress, request_id=request_id, stream=True
        )
        return self._events(attempts, source, self._channel)

    def classify_many(
        self,
        paths: Iterable[P],
        *,
        concurrency: int = 4,
        on_progress: ManyProgress[P] | None = None,
        on_event: ManyEvents[P] | None = None,
        **options: Unpack[Options],
    ) -> Generator[Outcome[P], None, None]:
        """Classify many files and yield an outcome for each, in the order in which they finish.

        A file that cannot be read or classified has an outcome with an error, and the others go on. Paths are taken
        when their turn comes, so there may be any number of them. Closing the generator ends the requests in flight.

        Args:
            paths: of files.
            concurrency: files in flight at once, each in a thread.
            on_progress: called in those threads with the path, its bytes sent, and its size.
            on_event: called in those threads with the path and each of its events except the result. When an attempt
                is repeated, its events come again, from the first.
            **options: as :meth:`classify` takes them; each file has the deadline for itself.
        """
        check_concurrency(concurrency)
        chosen = ClassifyOptions(**options)
        return self._outcomes(paths, chosen, concurrency=concurrency, on_progress=on_progress, on_event=on_event)

    def models(self) -> Models:
        """The served models and the server's limits."""
        return self._perform(self._endpoints.models())

    def model(self, name: str, *, version: int | None = None) -> ModelInfo:
        """One model in full; its highest version if none is given."""
        return self._perform(self._endpoints.model(name, version))

    def ready(self) -> Readiness:
        """Whether the server takes videos now; if not, or if nothing answers, the reason says why."""
        try:
            return self._perform(self._endpoints.ready())
        except Unavailable as exc:
            return Readiness(ready=False, reason=exc.message)

    def close(self) -> None:
        """Close the connections."""
        if self._owns_http:
            self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _outcomes(
        self,
        paths: Iterable[P],
        options: ClassifyOptions,
        *,
        concurrency: int,
        on_progress: ManyProgress[P] | None,
        on_event: ManyEvents[P] | None,
    ) -> Generator[Outcome[P], None, None]:
        # Only a request that opens its own connection can be interrupted, so none may be left from an earlier one.
        http = httpx.Client(headers=user_agent()) if self._owns_http else self._http
        interrupt = Interrupt()
        channel = _Connections(http, interrupt)

        def classify(path: P) -> Classification:
            source = file_source_of(path)
            progress = None if on_progress is None else partial(on_progress, path)
            attempts = self._endpoints.classify(source, options, on_progress=progress, stream=on_event is not None)
            if on_event is None:
                return self._perform(attempts, source, channel)
            with closing(self._events(attempts, source, channel, repeats=True)) as events:
                return _result_of(events, partial(on_event, path))

        with closing(http) if self._owns_http else nullcontext():
            yield from in_threads(paths, classify, concurrency=concurrency, interrupt=interrupt)

    def _events(
        self, attempts: Attempts[Classification], source: VideoSource, channel: _Connections, *, repeats: bool = False
    ) -> Generator[Event, None, None]:
        """With ``repeats``, an attempt that fails after its first events is repeated too, and so are the events."""
        while True:
            try:
                with self._attempt(attempts, source, channel) as response:
                    if attempts.is_stream(response):
                        for event in _read_events(attempts, response):
                            attempts.events_delivered = not repeats
                            yield event
                        return
                    whole = _read_whole(attempts, response)
            except ATTEMPT_ERRORS as exc:
                channel.check()
                wait_s = attempts.after_failure(exc)
            else:
                if attempts.accepts(whole):
                    yield attempts.result(whole)
                    return
                wait_s = attempts.after_refusal(whole)
            channel.sleep(wait_s)

    def _perform(
        self, attempts: Attempts[T], source: VideoSource | None = None, channel: _Connections | None = None
    ) -> T:
        channel = channel or self._channel
        while True:
            try:
                with self._attempt(attempts, source, channel) as response:
                    whole = _read_whole(attempts, response)
            except ATTEMPT_ERRORS as exc:
                channel.check()
                wait_s = attempts.after_failure(exc)
            else:
                if attempts.accepts(whole):
                    return attempts.result(whole)
                wait_s = attempts.after_refusal(whole)
            channel.sleep(wait_s)

    @contextmanager
    def _attempt(
        self, attempts: Attempts[T], source: VideoSource | None, channel: _Connections
    ) -> Iterator[httpx.Response]:
        """One attempt, up to the response's headers; left early, it closes the connection."""
        body = None if source is None or attempts.upload is None else attempts.upload.body(source)
        with closing(body) if body is not None else nullcontext():
            request = channel.http.build_request(content=body, **channel.next_request(attempts))
            with closing(channel.http.send(request, stream=True)) as response:
                yield response


def _read_whole(attempts: Attempts[T], response: httpx.Response) -> ReadResponse:
    content = bytearray()
    for chunk in response.iter_bytes():
        content += chunk
        attempts.check_size(len(content))
    return ReadResponse(response.status_code, response.headers, bytes(content))


def _read_events(attempts: Attempts[Classification], response: httpx.Response) -> Iterator[Event]:
    reader = attempts.event_reader()
    for chunk in response.iter_bytes():
        for event in reader.feed(chunk):
            yield event
            if isinstance(event, Classification):
                return
        attempts.deadline.check()
    reader.end()


def _result_of(events: Iterable[Event], on_event: Callable[[Event], object]) -> Classification:
    """The result, which is the last event; ``on_event`` gets the others as they come."""
    for event in events:
        if isinstance(event, Classification):
            return event
        on_event(event)
    raise AssertionError("events end with a result or an error")
