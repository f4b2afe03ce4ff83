"""Bounded concurrency for ``classify_many``: one thread or one task a file, each outcome as soon as it is there.

Paths are taken from their iterable only when their turn comes, so it may be endless; never more than ``concurrency``
files are in flight or wait to be yielded. A file's error is its outcome, and the others go on. Any other exception (of
the user's iterable or callback, or a defect) ends all of them.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Coroutine, Generator, Iterable
from queue import SimpleQueue
from typing import Any, Generic

from laps_client._interrupt import Interrupt
from laps_client._outcome import Outcome, P
from laps_client._results import Classification
from laps_client.errors import LapsError

_JOIN_S = 2.0  # how long threads are waited for after an interrupt; one that reads from a dead disk never ends


def check_concurrency(concurrency: int) -> None:
    """Refuse what is no number of files."""
    if concurrency < 1:
        raise ValueError(f"concurrency is {concurrency!r}; it must be at least 1")


def in_threads(
    paths: Iterable[P], classify: Callable[[P], Classification], *, concurrency: int, interrupt: Interrupt
) -> Generator[Outcome[P], None, None]:
    """Yield in the order of completion; closing the generator interrupts the requests in flight.

    Each file has a thread of its own. Starting one costs nothing beside an upload, and one that cannot be interrupted
    does not take a place in a pool for ever.
    """
    finished: SimpleQueue[Outcome[P] | BaseException] = SimpleQueue()
    threads: set[threading.Thread] = set()
    feed = _PathFeed(paths)
    running = 0

    # In a thread for each file.
    def work(path: P) -> None:
        try:
            finished.put(Outcome(path, classify(path), None))
        except LapsError as exc:
            finished.put(Outcome(path, None, exc))
        except BaseException as exc:  # raised again where the caller sees it
            finished.put(exc)

    # In the caller's thread: threads are begun, and their outcomes handed on.
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
        until = time.monotonic() + _JOIN_S
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))


async def in_tasks(
    paths: Iterable[P] | AsyncIterable[P],
    classify: Callable[[P], Coroutine[Any, Any, Classification]],
    *,
    concurrency: int,
) -> AsyncGenerator[Outcome[P], None]:
    """As :func:`in_threads`. While an async iterable waits for paths, files that are done are still yielded."""
    finished: asyncio.Queue[Outcome[P] | BaseException | None] = asyncio.Queue()
    places = asyncio.Semaphore(concurrency)
    tasks: set[asyncio.Task[None]] = set()
    feed = _AsyncPathFeed(paths)
    running = 0

    # A task for each file.
    async def work(path: P) -> None:
        try:
            finished.put_nowait(Outcome(path, await classify(path), None))
        except LapsError as exc:
            finished.put_nowait(Outcome(path, None, exc))
        except Exception as exc:
            finished.put_nowait(exc)

    # One task that begins them, since an async iterable may keep it waiting.
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

    # The caller's generator, which hands their outcomes on.
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


class _PathFeed(Generic[P]):
    """The user's paths. Where their iterable fails, the files taken before are finished first."""

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


class _AsyncPathFeed(_PathFeed[P]):
    """As :class:`_PathFeed`, of either kind of iterable."""

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
