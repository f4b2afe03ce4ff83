"""The server as every command meets it: its address, a health check, and files sent until going on makes no sense."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Coroutine, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeVar

from laps_client._async_client import AsyncLapsClient
from laps_client._defaults import BASE_URL
from laps_client._options import Options
from laps_client._outcome import FilePath, Outcome
from laps_client.cli.display import Display
from laps_client.cli.exit_status import (
    START_HINT,
    failure_for,
    is_locked_out,
    is_wrong_use,
    may_be_no_server,
    no_server,
    wrong_use,
)
from laps_client.errors import LapsError

P = TypeVar("P", bound=FilePath)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Connection:
    """Where the server is, and what is sent with every request: ``api_key`` where it is not one that is kept."""

    url: str
    headers: dict[str, str]
    api_key: str | None = None

    def client(self) -> AsyncLapsClient:
        """A client of it.

        Raises:
            CommandFailed: it is not an address, or its key or the file of keys is wrong.
        """
        try:
            return AsyncLapsClient(self.url, headers=self.headers, api_key=self.api_key)
        except ValueError as exc:
            raise wrong_use(str(exc)) from exc
        except LapsError as exc:  # its message names base_url, which the command line does not have
            raise wrong_use(
                f"--url, or LAPS_URL, is {self.url!r}, which is no address", _address_like(self.url)
            ) from exc


def _address_like(url: str) -> str:
    """What would be right: mostly just the scheme is missing."""
    host = url.partition("://")[2] or url.strip("/: ")
    plausible = host and not set(host) & set(" \t\"'<>")
    return f"write it as {f'http://{host}' if plausible else BASE_URL}"


def headers_of(given: Iterable[str]) -> dict[str, str]:
    """``Name: value`` as curl takes them.

    Raises:
        CommandFailed: one of them has another form.
    """
    headers = {}
    for text in given:
        name, colon, value = text.partition(":")
        if not colon or not name.strip():
            raise wrong_use(f"--header {text!r} is no header", "write it as 'Name: value'")
        headers[name.strip()] = value.strip()
    return headers


async def required(request: Coroutine[Any, Any, T]) -> T:
    """Await a request without whose answer the command cannot go on.

    Raises:
        CommandFailed: it failed.
    """
    try:
        return await request
    except LapsError as exc:
        raise failure_for(exc) from exc


async def check_ready(client: AsyncLapsClient) -> None:
    """Check the server's health before the first video is sent.

    Raises:
        CommandFailed: it is not ready.
    """
    readiness = await required(client.ready())
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
    """``classify_many`` with progress on a display. It ends as soon as all other files would fail too.

    Raises:
        CommandFailed: the options or the key are wrong, or the server is gone. If ``patient``, a server may come back.
    """
    answered = False
    # A stream has heartbeats, without which a proxy may drop the connection of a long video.
    results = client.classify_many(
        paths, concurrency=concurrency, on_progress=display.uploading, on_event=display.event_received, **options
    )
    async with aclosing(results) as outcomes:
        async for outcome in outcomes:
            error = outcome.error
            answered = answered or error is None
            if error is not None and is_locked_out(error):
                raise failure_for(error)
            if error is not None and is_wrong_use(error) and not answered and not _is_of_the_file(error, options):
                raise failure_for(error)
            if error is not None and may_be_no_server(error) and not patient:
                await check_ready(client)
            display.finished(outcome)
            yield outcome


def _is_of_the_file(error: LapsError, options: Options) -> bool:
    """A segment length may be too short for one video and right for the next."""
    return error.code == "bad_parameter" and options.get("segments") is not None
