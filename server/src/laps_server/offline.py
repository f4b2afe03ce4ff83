"""Files and folders classified without HTTP, many at once, so that their views share batches.

A library: it yields results as they come and prints nothing; ``cli_output.py`` prints them.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from laps_server.classify_options import ClassifyOptions
from laps_server.errors import BadParameter, InternalError, LapsError
from laps_server.events import Classification
from laps_server.observe import RequestClock
from laps_server.runtime import Runtime, build_runtime
from laps_server.settings import Settings
from laps_server.view_grid import MAX_VIEWS

_LOG = logging.getLogger(__name__)
_SUFFIXES = "3g2 3gp asf avi dv f4v flv gif m2ts m4v mkv mov mp4 mpeg mpg mts ogg ogv ts vob webm wmv"
VIDEO_SUFFIXES = frozenset(f".{name}" for name in _SUFFIXES.split())


@dataclass(frozen=True, slots=True)
class FileResult:
    """One file's answer or its error."""

    path: Path
    answer: Classification | None
    error: LapsError | None
    seconds: float


def find_videos(paths: Iterable[Path]) -> list[Path]:
    """Files as given, whatever their name; folders searched recursively for names that videos have.

    Folders are searched as `laps` does, in the order of their names: hidden files are left out, among them macOS's
    ``._clip.mp4``, which holds no video. So are hidden folders, pipes and devices; links to folders are not followed.
    A broken link is found, and becomes a file that cannot be read.

    Raises:
        BadParameter: a path that is not there, or nothing found at all.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += _in_folder(path)
        elif path.is_file():
            found.append(path)
        else:
            what = "is no regular file" if path.exists() else "is not there"
            raise BadParameter(f"{path} {what}", hint="give video files, or folders that hold some")
    if not found:
        raise BadParameter("no video found", hint=f"folders are searched for {' '.join(sorted(VIDEO_SUFFIXES))}")
    return found


def _in_folder(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(parent, name)
            is_video = not name.startswith(".") and path.suffix.lower() in VIDEO_SUFFIXES
            if is_video and (path.is_file() or not path.exists()):
                yield path


@asynccontextmanager
async def classify_files(
    settings: Settings, videos: Sequence[Path], options: ClassifyOptions, *, concurrency: int
) -> AsyncIterator[AsyncGenerator[FileResult, None]]:
    """The results of files, on a runtime that is opened for them and closed after them::

        async with classify_files(settings, find_videos(paths), options, concurrency=4) as results:
            async for result in results:
                ...

    A file that cannot be classified is a result too. Leaving early stops what is in flight.

    Raises:
        ModelError, BadRequest: the repository or the options are wrong, raised before the first file.
    """
    # Room for all files in flight: none is refused because the others' views fill the queue.
    queued_views = concurrency * MAX_VIEWS
    runtime = build_runtime(
        settings.model_copy(update={"max_queued_views": max(settings.max_queued_views, queued_views), "shadow": ()})
    )
    try:
        runtime.served.resolve(options)
        await runtime.start()
        async with aclosing(classify_many(runtime, videos, options, concurrency=concurrency)) as results:
            yield results
    finally:
        await runtime.close()


async def classify_many(
    runtime: Runtime, paths: Sequence[Path], options: ClassifyOptions, *, concurrency: int
) -> AsyncGenerator[FileResult, None]:
    """Yield each file's result as it finishes, at most ``concurrency`` in flight."""
    waiting = iter(paths)
    running: set[asyncio.Task[FileResult]] = set()
    try:
        while True:
            while len(running) < concurrency and (path := next(waiting, None)) is not None:
                running.add(asyncio.create_task(_classify_one(runtime, path, options)))
            if not running:
                return
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                yield task.result()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _classify_one(runtime: Runtime, path: Path, options: ClassifyOptions) -> FileResult:
    clock = RequestClock(str(path))
    found = await classify_opened(runtime, partial(os.open, path, os.O_RDONLY | os.O_CLOEXEC), options, clock)
    answer, error = (None, found) if isinstance(found, LapsError) else (found, None)
    return FileResult(path=path, answer=answer, error=error, seconds=clock.elapsed_s)


async def classify_opened(
    runtime: Runtime, open_video: Callable[[], int], options: ClassifyOptions, clock: RequestClock
) -> Classification | LapsError:
    """One video's answer or its error; nothing else is raised.

    Args:
        runtime: what classifies it.
        open_video: gives a descriptor of it, which is closed here; runs in a thread.
        options: what is asked for.
        clock: of this video; its id is the video's name in the log.
    """
    try:
        descriptor = await asyncio.to_thread(open_video)
        try:
            with runtime.job(options, clock) as job:
                return await job.classify(descriptor)
        finally:
            os.close(descriptor)
    except LapsError as exc:
        return exc
    except OSError as exc:
        return BadParameter(f"cannot be read: {exc.strerror or exc}")
    except Exception as exc:  # one file's defect must not end the others
        _LOG.error("%s failed", clock.request_id, exc_info=exc)
        return InternalError("the server failed on this file")
