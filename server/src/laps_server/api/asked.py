"""What a request asks for, as far as it can be told from its query string alone and in microseconds.

The route reads and checks every parameter. This is for admission, which has to answer what it refuses for less than a
hundredth of what an answer costs; what it cannot read it leaves to the route.
"""

from __future__ import annotations

from starlette.datastructures import QueryParams
from starlette.types import Scope

from laps_server.classify_options import ClassifyOptions
from laps_server.errors import LapsError
from laps_server.settings import Settings
from laps_server.view_grid import ViewGrid


def asked(scope: Scope, settings: Settings, *, arrived: float) -> ClassifyOptions | None:
    """Model, views and deadline; None where they are not right, which the route says."""
    query = QueryParams(scope["query_string"])
    version, deadline_ms, views = query.get("version"), query.get("deadline_ms"), query.get("views")
    try:
        deadline_s = settings.default_deadline_s if deadline_ms is None else int(deadline_ms) / 1000
        return ClassifyOptions(
            model=query.get("model"),
            version=None if version is None else int(version),
            views=None if views is None else ViewGrid.parse(views),
            deadline=arrived + deadline_s,
            deadline_named=deadline_ms is not None,
        )
    except (ValueError, OverflowError, LapsError):  # a number may have any number of digits
        return None
