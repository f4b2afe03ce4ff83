"""The id that ties an answer, its log lines and the client's own trace together."""

from __future__ import annotations

import logging
import re
import uuid
from contextvars import ContextVar

HEADER = "x-request-id"

_ALLOWED = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_current: ContextVar[str] = ContextVar("request_id", default="-")
_key_id: ContextVar[list[str] | None] = ContextVar("key_id", default=None)


def choose_request_id(sent: str | None) -> str:
    """The client's id where it is short and harmless in a log line, a new one otherwise."""
    return sent if sent is not None and _ALLOWED.fullmatch(sent) else uuid.uuid4().hex


def set_request_id(value: str) -> None:
    """Make ``value`` the id of the running task and of all it starts."""
    _current.set(value)
    _key_id.set([])


def set_key_id(value: str) -> None:
    """Note whose request is being answered: seen by the task that set the request's id, and by all it started."""
    if (noted := _key_id.get()) is not None:
        noted[:] = [value]


def current_key_id() -> str | None:
    """The id of the key that the request came with, None where it came without."""
    noted = _key_id.get()
    return noted[0] if noted else None


def current_request_id() -> str:
    """The id of the request that is being answered, ``-`` outside one."""
    return _current.get()


class RequestIdFilter(logging.Filter):
    """Puts the id on every log record as ``request_id``."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Never drops a record."""
        record.request_id = current_request_id()
        return True
