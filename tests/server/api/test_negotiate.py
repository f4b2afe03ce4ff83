"""Which form of an answer an Accept header asks for."""

from __future__ import annotations

import time

import pytest

from laps_server.api.negotiate import prefers_events

EVENTS = [
    "text/event-stream",
    "Text/Event-Stream",
    "text/event-stream; charset=utf-8",
    "text/event-stream;q=0.001",
    "text/event-stream, application/json;q=0.9",
    "application/json;q=0.9, text/event-stream",
    "text/event-stream, */*;q=0.1",
    "text/*",
    "text/*;q=0.5, application/json;q=0.4",
    "*/*, application/json;q=0.5",
    "text/event-stream;q=0.2, application/json;q=0.1",
    "text/event-stream , application/json ; q=0",
    "text/event-stream; Q=1.000, application/json; q=0.999",
    'text/event-stream;title="a, b;q=0", application/json;q=0.1',
    "nonsense, text/event-stream",
    "text/event-stream;q=0.1, text/event-stream;q=0.9, application/json;q=0.5",
    ",, text/event-stream ,,",
]
JSON = [
    None,
    "",
    "*/*",
    "application/json",
    "application/*",
    "text/html",
    "text/html, application/xhtml+xml, */*;q=0.8",
    "application/json, text/event-stream",
    "text/event-stream, application/json",
    "text/event-stream, */*",
    "text/event-stream;q=0.5, */*;q=0.5",
    "text/event-stream;q=0.5, application/*;q=0.6",
    "text/event-stream;q=0",
    "text/event-stream;q=0.000",
    "text/*, text/event-stream;q=0",
    "text/event-stream;q=0, application/json;q=0",
    "text/event-stream;q=high",
    "text/event-stream;q=-1",
    "text/event-stream;q=1.1",
    "text/event-stream;q=0.1234",
    "text/event-stream;q=",
    "text/event-stream;q",
    "text/event-stream;q=nan",
    "text/event-stream/x",
    "text",
    "/",
    "event-stream",
    "text/event-streams",
    '"text/event-stream"',
    'text/html;title="text/event-stream',
    ";;;,,,",
]


@pytest.mark.parametrize("accept", EVENTS)
def test_events_are_sent_where_they_are_preferred(accept: str) -> None:
    assert prefers_events(accept)


@pytest.mark.parametrize("accept", JSON, ids=repr)
def test_json_is_the_default_and_wins_a_tie(accept: str | None) -> None:
    assert not prefers_events(accept)


@pytest.mark.parametrize("unit", ['"', '\\"', '"\\', "a,", ";q=", "text/event-stream;", '";,'], ids=repr)
def test_a_long_header_takes_no_long_time(unit: str) -> None:
    began = time.process_time()
    prefers_events(unit * (64_000 // len(unit)))
    assert time.process_time() - began < 2
