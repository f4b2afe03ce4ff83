"""The id that ties an answer, its log lines and the client's own trace together."""

from __future__ import annotations

import logging
import re
import uuid
from contextvars import ContextVar
from dataclasses import dataclass

from laps_server.observe import Observer

HEADER = "x-request-id"

_ALLOWED = re.compile(r"[A-Za-z0-9._:-]{1,128}")


@dataclass(slots=True)
class RequestNotes:
    """What layers of the app find out about a request and its log line, metrics and trace tell.

    ``key_id`` and ``key_name`` are of the key it came with; ``code`` is of the error that it was answered with;
    ``model`` is the version that it was resolved to, as ``name/version``; ``observer`` gets the stages of its job.
    """

    key_id: str | None = None
    key_name: str | None = None
    code: str | None = None
    model: str | None = None
    observer: Observer | None = None


_current: ContextVar[str] = ContextVar("request_id", default="-")
_notes: ContextVar[RequestNotes | None] = ContextVar("request_notes", default=None)


def choose_request_id(sent: str | None) -> str:
    """The client's id where it is short and harmless in a log line, a new one otherwise."""
    return sent if sent is not None and _ALLOWED.fullmatch(sent) else uuid.uuid4().hex


def set_request_id(value: str) -> None:
    """Make ``value`` the id of the running task and of all it starts."""
    _current.set(value)
    _notes.set(RequestNotes())


def request_notes() -> RequestNotes:
    """The notes of the request that is being answered: one object, whose changes all of its tasks see."""
    return _notes.get() or RequestNotes()


def current_request_id() -> str:
    """The id of the request that is being answered, ``-`` outside one."""
    return _current.get()


class RequestIdFilter(logging.Filter):
    """Puts the id on every log record as ``request_id``."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Never drops a record."""
        record.request_id = current_request_id()
        return True
