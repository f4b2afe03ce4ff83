"""Many files at once, each outcome as soon as it is there: the machinery of ``classify_many``, in threads and in tasks.

Paths are taken from their iterable only when their turn comes, so it may be endless, and no more than ``concurrency``
files are sent or wait to be taken. A file's error is its outcome and stops nobody else; anything that is no error of
a file (the caller's iterable or callback, a defect) ends it all.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Coroutine, Generator, Iterable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from laps_client.errors import LapsError
from laps_client.events import Event
from laps_client.interrupt import Interrupt
from laps_client.results import Classification

FilePath = str | os.PathLike[str]
P = TypeVar("P", bound=FilePath)
P_co = TypeVar("P_co", bound=FilePath, covariant=True)

ManyProgress = Callable[[P, int, int | None], object]
ManyEvents = Callable[[P, Event], object]

_LEAVE_S = 2.0  # what threads get to leave in after an interrupt; one that reads from a dead disk does not


@dataclass(frozen=True, slots=True)
class Outcome(Generic[P_co]):
    """What became of one file: its result or its error.

    Attributes:
        path: the very object that was given.
        result: None where there is an error.
        error: a file that cannot be read is a ``BadRequest`` with code ``source_unreadable``.
    """

    path: P_co
    result: Classification | None
    error: LapsError | None

    def unwrap(self) -> Classification:
        """The result.

        Raises:
            LapsError: there is none.
        """
        if self.result is None:
            raise self.error or LapsError("no result")
        return self.result


def check_concurrency(concurrency: int) -> None:
    """Refuse what is no number of files."""
    if concurrency < 1:
        raise ValueError(f"concurrency is {concurrency!r}; it must be at least 1")


def in_threads(
    paths: Iterable[P], classify: Callable[[P], Classification], *, concurrency: int, interrupt: Interrupt
) -> Generator[Outcome[P], None, None]:
    """Yield in the order of completion; closing the generator interrupts the calls that run.

    A thread is made for each file and not kept: beside an upload and its work it costs nothing, and one that cannot be
    interrupted holds up nobody.
    """
    finished: SimpleQueue[Outcome[P] | BaseException] = SimpleQueue()
    threads: set[threading.Thread] = set()
    feed = _Feed(paths)
    running = 0

    def work(path: P) -> None:
        try:
            finished.put(Outcome(path, classify(path), None))
        except LapsError as exc:
            finished.put(Outcome(path, None, exc))
        except BaseException as exc:  # raised again where the caller sees it
            finished.put(exc)

    def begin() -> None:
        nonlocal running
        while running < concurrency and (path := feed.next()) is not None:
            thread = threading.Thread(target=work, args=(path,), name="laps-classify", daemon=True)
            thread.start()
            threads.add(thread)
            running += 1

    try:
        begin()
        while running:
            outcome = finished.get()
            if isinstance(outcome, BaseException):
                raise outcome
            running -= 1
            threads -= {thread for thread in threads if not thread.is_alive()}
            begin()  # the place is not left empty while the caller looks at the outcome
            yield outcome
        feed.check()
    finally:
        interrupt.fire()
        until = time.monotonic() + _LEAVE_S
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))


async def in_tasks(
    paths: Iterable[P] | AsyncIterable[P],
    classify: Callable[[P], Coroutine[Any, Any, Classification]],
    *,
    concurrency: int,
) -> AsyncGenerator[Outcome[P], None]:
    """As :func:`in_threads`. An async iterable may wait for paths: files that are done meanwhile are yielded."""
    finished: asyncio.Queue[Outcome[P] | BaseException | None] = asyncio.Queue()
    places = asyncio.Semaphore(concurrency)
    tasks: set[asyncio.Task[None]] = set()
    feed = _AsyncFeed(paths)
    running = 0

    async def work(path: P) -> None:
        try:
            finished.put_nowait(Outcome(path, await classify(path), None))
        except LapsError as exc:
            finished.put_nowait(Outcome(path, None, exc))
        except Exception as exc:
            finished.put_nowait(exc)

    async def begin() -> None:
        nonlocal running
        await places.acquire()
        while (path := await feed.anext()) is not None:
            running += 1
            task = asyncio.create_task(work(path), name="laps-classify")
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            await places.acquire()
        finished.put_nowait(None)

    feeding = asyncio.create_task(begin(), name="laps-classify-many")
    try:
        while running or not feeding.done():
            outcome = await finished.get()
            if isinstance(outcome, BaseException):
                raise outcome
            if outcome is not None:
                running -= 1
                places.release()
                yield outcome
        feed.check()
    finally:
        leaving = [feeding, *tasks]
        for task in leaving:
            task.cancel()
        await asyncio.gather(*leaving, return_exceptions=True)


class _Feed(Generic[P]):
    """The caller's paths. Where they fail, the files that were taken are finished first."""

    def __init__(self, paths: Iterable[P]) -> None:
        self._paths = iter(paths)
        self._failure: Exception | None = None

    def next(self) -> P | None:
        try:
            return None if self._failure is not None else _checked(next(self._paths))
        except StopIteration:
            return None
        except Exception as exc:
            self._failure = exc
            return None

    def check(self) -> None:
        if self._failure is not None:
            raise self._failure


class _AsyncFeed(_Feed[P]):
    """As :class:`_Feed`, of either kind of iterable."""

    def __init__(self, paths: Iterable[P] | AsyncIterable[P]) -> None:
        super().__init__(() if isinstance(paths, AsyncIterable) else paths)
        self._async_paths = aiter(paths) if isinstance(paths, AsyncIterable) else None

    async def anext(self) -> P | None:
        if self._async_paths is None:
            return self.next()
        try:
            return _checked(await anext(self._async_paths))
        except StopAsyncIteration:
            return None
        except Exception as exc:
            self._failure = exc
            return None


def _checked(path: P) -> P:
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"a path is a str or an os.PathLike, not {type(path).__name__}")
    return path
