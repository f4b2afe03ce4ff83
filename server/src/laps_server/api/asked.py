"""What a request asks for, as far as it can be told from its query string alone and in microseconds.

The route reads and checks every parameter. This is for admission, which has to answer what it refuses for less than a
hundredth of what an answer costs; what it cannot read it leaves to the route.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from starlette.datastructures import QueryParams
from starlette.types import Scope

from laps_server.classify_options import ClassifyOptions
from laps_server.errors import LapsError
from laps_server.settings import Settings
from laps_server.view_grid import ViewGrid


def asked(scope: Scope, settings: Settings, *, arrived: float) -> ClassifyOptions | None:
    """Model, views and deadline; None where they are not right, which the route says."""
    try:
        found = _read(scope["query_string"])
    except (ValueError, OverflowError, LapsError):  # a number may have any number of digits
        return None
    return ClassifyOptions(
        model=found.model,
        version=found.version,
        views=found.views,
        deadline=arrived + (settings.default_deadline_s if found.deadline_s is None else found.deadline_s),
        deadline_named=found.deadline_s is not None,
    )


@dataclass(frozen=True, slots=True)
class _Asked:
    model: str | None
    version: int | None
    views: ViewGrid | None
    deadline_s: float | None


@lru_cache(maxsize=256)  # most clients ask the same thing over and over
def _read(query_string: bytes) -> _Asked:
    query = QueryParams(query_string)
    version, deadline_ms, views = query.get("version"), query.get("deadline_ms"), query.get("views")
    return _Asked(
        model=query.get("model"),
        version=None if version is None else int(version),
        views=None if views is None else ViewGrid.parse(views),
        deadline_s=None if deadline_ms is None else int(deadline_ms) / 1000,
    )
