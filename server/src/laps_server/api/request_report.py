"""How a request ended, told to the log and to metrics: in the same words for one that the app answers and for one that
is refused before it.
"""

from __future__ import annotations

import logging

from starlette.types import Scope

from laps_server.api.admission import CLASSIFY_PATH, is_classify
from laps_server.logs import FIELDS
from laps_server.metrics import OK, Metrics
from laps_server.request_id import request_notes

_LOG = logging.getLogger(__name__)
_MAX_LOGGED_PATH = 200
_METHODS = frozenset({"GET", "HEAD", "POST", "OPTIONS"})
_OTHER = "other"


class RequestReport:
    """Where it is told.

    Args:
        metrics: None where nobody scrapes.
    """

    def __init__(self, metrics: Metrics | None) -> None:
        self._metrics = metrics

    def tell(self, scope: Scope, *, status: int, seconds: float) -> None:
        """A request ended, after ``seconds``; the notes of the running request say the rest."""
        notes = request_notes()
        if self._metrics is not None:
            method = scope["method"] if scope["method"] in _METHODS else _OTHER
            self._metrics.answered(route=_route(scope), method=method, status=status, code=notes.code, seconds=seconds)
        fields = {
            "method": _printable(scope["method"]),
            "path": _printable(scope["path"]),
            "status": status,
            "outcome": notes.code or OK,
            "seconds": round(seconds, 4),
            "model": notes.model,
            "key_id": notes.key_id,
            "key": notes.key_name,
        }
        _LOG.info(
            "%s %s %d %s %.0f ms%s%s",
            fields["method"],
            fields["path"],
            status,
            fields["outcome"],
            1000 * seconds,
            f" {notes.model}" if notes.model else "",
            f" key {notes.key_id} {notes.key_name}" if notes.key_id else "",
            extra={FIELDS: {name: value for name, value in fields.items() if value is not None}},
        )


def _route(scope: Scope) -> str:
    """A label of few values: a path is the client's, so its template, which FastAPI found, stands for it."""
    found = CLASSIFY_PATH if is_classify(scope) else _OTHER  # one that was refused at the door found no route
    return str(getattr(scope.get("route"), "path", found))


def _printable(path: str) -> str:
    """A path as one harmless piece of a log line: servers decode escapes, line breaks among them."""
    return ascii(path[:_MAX_LOGGED_PATH])[1:-1]
