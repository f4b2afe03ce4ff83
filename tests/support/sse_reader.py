"""Server-Sent Events as a client reads them, strictly: every line has to be one that docs/streaming.md allows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

HEARTBEAT = "heartbeat"
ACCEPT = {"accept": "text/event-stream"}


@dataclass(frozen=True)
class Sent:
    """One event; a heartbeat has the name of one and no data."""

    name: str
    data: dict[str, Any]


def parse(lines: Iterable[str]) -> Iterator[Sent]:
    """The events behind the lines of a stream, as they come."""
    waiting = iter(lines)
    for line in waiting:
        if line == ": heartbeat":
            yield Sent(HEARTBEAT, {})
        else:
            name = line.removeprefix("event: ")
            data = next(waiting)
            assert name != line, line
            assert data.startswith("data: {"), data
            yield Sent(name, json.loads(data.removeprefix("data: ")))
        assert next(waiting) == "", "an event does not end with an empty line"


@contextmanager
def streamed(url: str, video: Path, *, timeout_s: float = 60, **query: Any) -> Iterator[Iterator[Sent]]:
    """A request for events, and the events as they come; leaving early disconnects."""
    with (
        httpx.Client(timeout=timeout_s) as client,
        client.stream("POST", f"{url}/classify", params=query, content=video.read_bytes(), headers=ACCEPT) as response,
    ):
        if response.status_code != 200:
            response.read()
            raise AssertionError(response.text)
        yield parse(response.iter_lines())


def events_of(url: str, video: Path, **query: Any) -> list[Sent]:
    """All events of a request, its heartbeats left out."""
    with streamed(url, video, **query) as events:
        return [event for event in events if event.name != HEARTBEAT]
