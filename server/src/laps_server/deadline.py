"""A deadline as a point in time, so that every stage of a request counts against the same one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from laps_server.errors import DeadlineExceeded
from laps_server.observe import now

HINT_WORK = "ask for fewer views, as in views=1x1, or for a longer deadline_ms"
HINT_SEGMENTS = "ask for longer segments, for fewer views, as in views=1x1, or for a longer deadline_ms"
HINT_UPLOAD = "a deadline counts from the request's arrival: ask for a longer deadline_ms, or send a smaller file"


@asynccontextmanager
async def within(deadline: float | None, *, hint: str = HINT_WORK) -> AsyncIterator[None]:
    """Bound what is awaited inside by a point of :func:`laps_server.observe.now`; None means no bound.

    Never yield out of an async generator inside this: the bound would cancel whoever iterates.

    Raises:
        DeadlineExceeded: when the point passes first.
    """
    remaining = None if deadline is None else deadline - now()
    try:
        async with asyncio.timeout(remaining) as bound:
            yield
    except TimeoutError as exc:
        if not bound.expired():
            raise
        raise too_late(hint) from exc


def too_late(hint: str = HINT_WORK) -> DeadlineExceeded:
    """The error of a deadline that has passed."""
    return DeadlineExceeded("the deadline passed before the answer was complete", hint=hint)
