"""What every command does around its work: connect, see that a server is there, turn every end into an exit status."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Coroutine, Iterable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from laps_client._async_client import AsyncLapsClient
from laps_client._defaults import BASE_URL
from laps_client._options import Options
from laps_client._outcome import FilePath, Outcome
from laps_client.cli import exit_status
from laps_client.cli.display import Display
from laps_client.cli.exit_status import (
    START_HINT,
    CommandFailed,
    failure_for,
    is_wrong_use,
    may_be_no_server,
    no_server,
    not_written,
    wrong_use,
)
from laps_client.cli.standard_streams import send_nowhere
from laps_client.errors import LapsError

P = TypeVar("P", bound=FilePath)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Connection:
    """Where the server is, and what is sent with every request."""

    url: str
    headers: dict[str, str]

    def client(self) -> AsyncLapsClient:
        """A client of it.

        Raises:
            CommandFailed: the address can be none.
        """
        try:
            return AsyncLapsClient(self.url, headers=self.headers)
        except LapsError as exc:  # it speaks of base_url, which is no word of the command line
            raise wrong_use(
                f"--url, or LAPS_URL, is {self.url!r}, which is no address", _address_like(self.url)
            ) from exc


def _address_like(url: str) -> str:
    """What would be right: mostly the scheme alone is missing."""
    host = url.partition("://")[2] or url.strip("/: ")
    plausible = host and not set(host) & set(" \t\"'<>")
    return f"write it as {f'http://{host}' if plausible else BASE_URL}"


def headers_of(given: Iterable[str]) -> dict[str, str]:
    """``Name: value`` as curl takes them.

    Raises:
        CommandFailed: one of them is not like that.
    """
    headers = {}
    for text in given:
        name, colon, value = text.partition(":")
        if not colon or not name.strip():
            raise wrong_use(f"--header {text!r} is no header", "write it as 'Name: value'")
        headers[name.strip()] = value.strip()
    return headers


async def asked(call: Coroutine[Any, Any, T]) -> T:
    """Await a call that everything depends on.

    Raises:
        CommandFailed: it failed.
    """
    try:
        return await call
    except LapsError as exc:
        raise failure_for(exc) from exc


async def check_ready(client: AsyncLapsClient) -> None:
    """See that videos can be sent, before the first is.

    Raises:
        CommandFailed: they cannot.
    """
    readiness = await asked(client.ready())
    if not readiness:
        raise no_server(f"the server is not ready: {readiness.reason}", START_HINT)


async def outcomes_of(
    client: AsyncLapsClient,
    paths: Iterable[P] | AsyncIterable[P],
    options: Options,
    *,
    concurrency: int,
    display: Display,
    patient: bool = False,
) -> AsyncGenerator[Outcome[P], None]:
    """``classify_many`` with the bars of a display, ended where going on makes no sense.

    Raises:
        CommandFailed: the options are wrong, or the server is gone and the caller is not ``patient``.
    """
    answered = False
    # In a stream the server is never silent for long, so that no proxy in between takes a long video for a dead one.
    results = client.classify_many(
        paths, concurrency=concurrency, on_progress=display.uploading, on_event=display.working, **options
    )
    async with aclosing(results) as outcomes:
        async for outcome in outcomes:
            error = outcome.error
            answered = answered or error is None
            if error is not None and is_wrong_use(error) and not answered and not _is_of_the_file(error, options):
                raise failure_for(error)
            if error is not None and may_be_no_server(error) and not patient:
                await check_ready(client)
            display.finished(outcome)
            yield outcome


def _is_of_the_file(error: LapsError, options: Options) -> bool:
    """A length of segments may be too short for one video and right for the next."""
    return error.code == "bad_parameter" and options.get("segments") is not None


def run_to_exit(display: Display, work: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """Run a command's work; returns the exit status, whatever happened.

    An interrupt cancels the work: files in flight are dropped, and with their connections the server's work on them.
    """
    terminated = False

    async def main() -> int:
        task = asyncio.current_task()

        def terminate() -> None:
            nonlocal terminated
            terminated = True
            if task is not None:
                task.cancel()

        with suppress(NotImplementedError):  # Windows ends the process by itself
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminate)
        return await work()

    try:
        with display:
            return asyncio.run(main())
    except CommandFailed as stop:
        display.stopped(stop)
        return stop.status
    except BrokenPipeError:  # as with head; what else is written to standard output may go nowhere
        send_nowhere(sys.stdout)
        return exit_status.PIPE_CLOSED
    except OSError as exc:  # what is written says where it failed; this is anything else, as a disk that cannot be read
        display.stopped(not_written(str(exc.filename or "the system"), exc))
        return exit_status.NOT_WRITTEN
    except KeyboardInterrupt:
        display.say("interrupted")
        return exit_status.INTERRUPTED
    except asyncio.CancelledError:
        if not terminated:
            raise
        display.say("terminated")
        return exit_status.TERMINATED
