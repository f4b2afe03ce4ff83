"""Server-sent events from a stream's bytes, which may be cut anywhere; no I/O.

The format is the HTML standard's: lines end in LF, CR or CRLF; an event is its ``event`` and ``data`` lines up to an
empty line; a line that begins with a colon is a comment, which keeps a connection alive. ``id`` and ``retry`` serve
browsers that reconnect, and are ignored.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_LINE_END = re.compile(rb"[\r\n]")
_CR, _LF = 0x0D, 0x0A
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One event; its ``data`` lines are joined by line feeds and not decoded."""

    name: str
    data: bytes


class EventTooLong(Exception):
    """An event has more bytes than the parser may keep."""


class EventParser:
    """Turns chunks into events; what is not complete waits for the next chunk.

    Args:
        max_bytes: most bytes of one event.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._rest = bytearray()  # the beginning of a line
        self._searched = 0  # how much of it is known to hold no line end
        self._after_cr = False
        self._first_line = True
        self._name = b""
        self._data: list[bytes] = []
        self._data_bytes = 0

    def feed(self, chunk: bytes) -> Iterator[ServerSentEvent]:
        """The events that the chunk completes. Take all of them before the next chunk.

        Raises:
            EventTooLong: one of them does not end in time.
        """
        for line in self._lines(chunk):
            if line:
                self._take(line)
            elif (event := self._dispatched()) is not None:
                yield event
        self._check_size(len(self._rest))

    def _lines(self, chunk: bytes) -> Iterator[bytes]:
        self._rest += chunk
        start = 0
        while match := _LINE_END.search(self._rest, max(start, self._searched)):
            at = match.start()
            ends_pair = self._after_cr and at == start and self._rest[at] == _LF  # the second half of a CRLF
            self._after_cr = self._rest[at] == _CR
            if not ends_pair:
                yield self._whole_line(bytes(self._rest[start:at]))
            start = at + 1
        del self._rest[:start]
        self._searched = len(self._rest)

    def _whole_line(self, line: bytes) -> bytes:
        if self._first_line:
            self._first_line = False
            return line.removeprefix(_BOM)
        return line

    def _take(self, line: bytes) -> None:
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"event":
            self._name = value
        elif field == b"data":
            self._check_size(len(value))
            self._data.append(value)
            self._data_bytes += len(value) + 1

    def _dispatched(self) -> ServerSentEvent | None:
        name, data = self._name, self._data
        self._name, self._data, self._data_bytes = b"", [], 0
        if not data:
            return None
        return ServerSentEvent(name.decode("utf-8", "replace") or "message", b"\n".join(data))

    def _check_size(self, more_bytes: int) -> None:
        if self._data_bytes + more_bytes > self._max_bytes:
            raise EventTooLong
