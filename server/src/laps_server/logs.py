"""Log lines of the process: as text or as JSON, each with the request id, and each one line whatever is in it.

A line may tell what a client sent. What could end a line, colour a terminal or turn its text around is escaped, and
what is too long is cut. A traceback is several lines of text, indented, so that none of them looks like a record.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Literal

from laps_server.request_id import RequestIdFilter

LogFormat = Literal["text", "json"]

FIELDS = "fields"
"""Of a record's ``extra``: a mapping of what its message says, for lines in JSON."""

_MAX_MESSAGE = 4000
_MAX_TRACEBACK = 50_000
_INDENT = "    "


def configure_logging(level: str, log_format: LogFormat = "text") -> None:
    """Send every logger's lines to standard error."""
    handler = logging.StreamHandler()
    handler.addFilter(RequestIdFilter())
    handler.setFormatter(_JsonFormatter() if log_format == "json" else _TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


class _TextFormatter(logging.Formatter):
    """For people."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s [%(request_id)s] %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """The line, its message harmless."""
        record.message = _printable(_cut(record.message, _MAX_MESSAGE))
        return super().formatMessage(record)

    def formatException(self, ei: object) -> str:  # noqa: N802 - logging's name
        """The lines of a traceback; messages of exceptions are in it."""
        lines = _cut(super().formatException(ei), _MAX_TRACEBACK).split("\n")  # type: ignore[arg-type]  # as logging calls it
        return "\n".join(_INDENT + _printable(line) for line in lines)


class _JsonFormatter(logging.Formatter):
    """For machines: one object a line, in ASCII, so that JSON itself escapes everything else."""

    def format(self, record: logging.LogRecord) -> str:
        """One record."""
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "request_id": vars(record).get("request_id"),
            "message": _cut(record.getMessage(), _MAX_MESSAGE),
            **vars(record).get(FIELDS, {}),
        }
        if record.exc_info:
            entry["traceback"] = _cut(self.formatException(record.exc_info), _MAX_TRACEBACK)
        return json.dumps(entry, default=str)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]} ... ({len(text) - most} more characters)"


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )
