"""``laps watch``: classifies what arrives in a folder, each file once nothing writes to it any more."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, aclosing
from dataclasses import dataclass
from pathlib import Path

from laps_client._async_client import AsyncLapsClient
from laps_client._options import Options
from laps_client.cli.classify import save_and_write, writer_to_stdout
from laps_client.cli.connection import Connection, check_ready, outcomes_of
from laps_client.cli.display import Display
from laps_client.cli.done_files import DoneFiles, is_given_up
from laps_client.cli.exit_status import may_be_no_server, may_be_too_slow, wrong_use
from laps_client.cli.result_rows import json_row
from laps_client.cli.results_file import ResultsFile
from laps_client.cli.results_writer import Format
from laps_client.cli.video_files import find_videos
from laps_client.errors import LapsError

FileStamp = tuple[int, int]  # size in bytes and time of the last change in ns, by which a change is seen


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchRequest:
    """What the command was asked for."""

    folder: Path
    options: Options
    format: Format
    concurrency: int
    skip_done: Path | None
    existing: bool
    interval_s: float
    settle_s: float


class Arrivals:
    """Which of the files in a folder are complete: not empty, and unchanged for ``settle_s``.

    A file that changes later arrives again.
    """

    def __init__(self, *, settle_s: float) -> None:
        self._settle_s = settle_s
        self._changing: dict[Path, tuple[FileStamp, float]] = {}
        self._known: dict[Path, FileStamp] = {}

    def look(self, seen: Mapping[Path, FileStamp], now: float) -> list[Path]:
        """What has arrived since the last look; ``now`` is in seconds of any monotonic clock."""
        arrived = []
        for path, stamp in seen.items():
            if self._known.get(path) == stamp or stamp[0] == 0:
                continue
            before, since = self._changing.get(path, (None, now))
            if before != stamp:
                self._changing[path] = (stamp, now)
            elif now - since >= self._settle_s:
                arrived.append(path)
                self._known[path] = stamp
                del self._changing[path]
        for gone in (self._known.keys() | self._changing.keys()) - seen.keys():
            self._known.pop(gone, None)
            self._changing.pop(gone, None)
        return arrived

    def take_as_known(self, path: Path, stamp: FileStamp) -> None:
        """Leave a file out unless it changes."""
        self._known[path] = stamp

    def forget(self, path: Path) -> None:
        """Let a file arrive again."""
        self._known.pop(path, None)


async def watch(connection: Connection, request: WatchRequest, display: Display) -> int:
    """Classify until a signal ends it.

    Raises:
        CommandFailed: the command is wrong, or there is no server at the start; later it is waited for.
    """
    if not request.folder.is_dir():
        raise wrong_use(f"{request.folder} is no folder")
    with ExitStack() as stack:
        results_file = None if request.skip_done is None else stack.enter_context(ResultsFile(request.skip_done))
        writer = writer_to_stdout(request.format, results_file, display)
        stack.callback(writer.close)
        done = DoneFiles(results_file)
        arrivals = Arrivals(settle_s=request.settle_s)
        async with connection.client() as client:
            await check_ready(client)
            options = await done.agreed(client, request.options)
            await asyncio.to_thread(_take_earlier_as_known, request, done, arrivals)
            display.say(f"watching {request.folder}")
            server = _AwayServer(client, request.interval_s)
            results = outcomes_of(
                client,
                _arriving(request, arrivals, server),
                options,
                concurrency=request.concurrency,
                display=display,
                patient=True,
            )
            async with aclosing(results) as outcomes:
                async for outcome in outcomes:
                    if outcome.error is not None and await server.was_away(outcome.error):
                        arrivals.forget(outcome.path)
                    if outcome.error is not None and is_given_up(outcome.error) and results_file is not None:
                        results_file.append(json_row(outcome))  # as a result: it has to outlive this run
                    save_and_write(outcome, results_file, writer)
    raise AssertionError("files never stop arriving")


class _AwayServer:
    """Waits until a server that went away is back."""

    def __init__(self, client: AsyncLapsClient, interval_s: float) -> None:
        self._client = client
        self._interval_s = interval_s
        self._is_away = False

    async def was_away(self, error: LapsError) -> bool:
        """Whether a file failed only because the server was away, so that it has to be sent again."""
        if not may_be_no_server(error) or (may_be_too_slow(error) and await self._client.ready()):
            return False
        self._is_away = True
        return True

    async def wait(self) -> None:
        while self._is_away:
            self._is_away = not await self._client.ready()
            if self._is_away:
                await asyncio.sleep(self._interval_s)


async def _arriving(request: WatchRequest, arrivals: Arrivals, server: _AwayServer) -> AsyncIterator[Path]:
    while True:
        seen = await asyncio.to_thread(_seen, request.folder)
        for path in arrivals.look(seen, time.monotonic()):
            await server.wait()
            yield path
        await asyncio.sleep(request.interval_s)


def _take_earlier_as_known(request: WatchRequest, done: DoneFiles, arrivals: Arrivals) -> None:
    """Leave out what is in the folder at the start; with ``existing``, only what an earlier run has done."""
    seen = _seen(request.folder)
    wanted = set(done.without(seen)) if request.existing else set()
    for path, stamp in seen.items():
        if path not in wanted:
            arrivals.take_as_known(path, stamp)


def _seen(folder: Path) -> dict[Path, FileStamp]:
    seen = {}
    for path in find_videos([folder]):
        try:
            found = os.stat(path)  # noqa: PTH116 - called for every file, every interval
        except OSError:  # gone meanwhile
            continue
        seen[path] = (found.st_size, found.st_mtime_ns)
    return seen
