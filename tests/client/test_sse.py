"""Server-sent events as the standard says, wherever the stream is cut."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from laps_client._sse import EventParser, EventTooLong, ServerSentEvent

LIMIT = 1000


def parsed(*chunks: bytes, limit: int = LIMIT) -> list[tuple[str, bytes]]:
    parser = EventParser(limit)
    return [(event.name, event.data) for chunk in chunks for event in parser.feed(chunk)]


STREAMS: dict[str, tuple[bytes, list[tuple[str, bytes]]]] = {
    "one": (b"event: partial\ndata: {}\n\n", [("partial", b"{}")]),
    "two": (b"event: a\ndata: 1\n\nevent: b\ndata: 2\n\n", [("a", b"1"), ("b", b"2")]),
    "crlf": (b"event: a\r\ndata: 1\r\n\r\nevent: b\r\ndata: 2\r\n\r\n", [("a", b"1"), ("b", b"2")]),
    "cr": (b"event: a\rdata: 1\r\revent: b\rdata: 2\r\r", [("a", b"1"), ("b", b"2")]),
    "every line end": (b"event: a\rdata: 1\ndata: 2\r\n\rdata: 3\n\n", [("a", b"1\n2"), ("message", b"3")]),
    "several data lines": (b"data: 1\ndata\ndata:  3\n\n", [("message", b"1\n\n 3")]),
    "no space": (b"event:a\ndata:1\n\n", [("a", b"1")]),
    "colons": (b'event: a\ndata: {"b": "c: d"}\n\n', [("a", b'{"b": "c: d"}')]),
    "comments": (b": heartbeat\n\n:\n\nevent: a\n: between\ndata: 1\n\n: heartbeat\n\n", [("a", b"1")]),
    "other fields": (b"id: 7\nretry: 5\nevent: a\nunknown: x\ndata: 1\n\n", [("a", b"1")]),
    "no data": (b"event: a\n\ndata: 1\n\n", [("message", b"1")]),
    "empty data": (b"event: a\ndata\n\n", [("a", b"")]),
    "the last name": (b"event: a\nevent: b\ndata: 1\n\n", [("b", b"1")]),
    "not ended": (b"event: a\ndata: 1\n\nevent: b\ndata: 2\n", [("a", b"1")]),
    "byte order mark": (b"\xef\xbb\xbfevent: a\ndata: 1\n\n\xef\xbb\xbfdata: 2\n\n", [("a", b"1")]),
    "not utf-8": (b"event: a\xff\ndata: \xff\n\n", [("a\ufffd", b"\xff")]),
    "nothing": (b"", []),
}


@pytest.mark.parametrize(("stream", "expected"), STREAMS.values(), ids=STREAMS.keys())
def test_a_stream_reads_as_the_standard_says_however_it_is_cut(
    stream: bytes, expected: list[tuple[str, bytes]]
) -> None:
    assert parsed(stream) == expected
    assert parsed(*(stream[at : at + 1] for at in range(len(stream)))) == expected
    for at in range(len(stream)):
        assert parsed(stream[:at], stream[at:]) == expected
        assert parsed(stream[:at], b"", stream[at:]) == expected


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.sampled_from(["a", "result"]), st.sampled_from([b"1", b"{}", b": x", b"\xff" * 40]))),
    st.sampled_from([b"\n", b"\r", b"\r\n"]),
    st.sets(st.integers(0, 400)),
)
def test_what_is_written_is_read(events: list[tuple[str, bytes]], end: bytes, cuts: set[int]) -> None:
    lines = [line for name, data in events for line in (f"event: {name}".encode(), b"data: " + data, b"")]
    stream = b"".join(line + end for line in lines)
    places = sorted({0, len(stream)} | {cut for cut in cuts if cut < len(stream)})
    assert parsed(*(stream[start:stop] for start, stop in pairwise(places))) == events


@pytest.mark.parametrize(
    "stream",
    [
        b"data: " + b"x" * LIMIT + b"\n",
        b"data: " + b"x" * LIMIT * 2 + b"\n\n",
        b"data: 123456789\n" * (LIMIT // 8),
        b"data\n" * (LIMIT + 2),
        b"x" * LIMIT * 2,
        b": " + b"x" * LIMIT,
    ],
    ids=["line without end", "line", "many lines", "many empty lines", "field without end", "comment without end"],
)
def test_an_event_without_an_end_is_not_kept(stream: bytes) -> None:
    with pytest.raises(EventTooLong):
        parsed(*(stream[at : at + 64] for at in range(0, len(stream), 64)))


def test_an_event_of_just_the_limit_is_kept() -> None:
    assert parsed(b"data: " + b"x" * (LIMIT - 6) + b"\n\n") == [("message", b"x" * (LIMIT - 6))]


def test_a_long_line_in_many_chunks_costs_time_in_proportion() -> None:
    def seconds(chunks: int) -> float:
        parser = EventParser(1 << 30)
        began = time.process_time()
        for _ in range(chunks):
            assert list(parser.feed(b"x" * 1000)) == []
        assert list(parser.feed(b"\ndata: 1\n\n")) == [ServerSentEvent("message", b"1")]
        return time.process_time() - began

    seconds(1000)
    assert seconds(20_000) < 60 * max(seconds(2000), 0.002), "10 times the bytes; the square would be 100 times"
