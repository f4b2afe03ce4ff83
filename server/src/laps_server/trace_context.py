"""The trace that the running task works for, as the HTTP headers of W3C Trace Context; empty where there is none.

It is here and not in :mod:`laps_server.tracing`, so that what asks others, as Triton, can pass it on without knowing
OpenTelemetry.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from types import MappingProxyType

_headers: ContextVar[Mapping[str, str]] = ContextVar("trace_headers", default=MappingProxyType({}))


def trace_headers() -> Mapping[str, str]:
    """What to send along with a request to another server."""
    return _headers.get()


def carry_trace(headers: Mapping[str, str]) -> None:
    """Have the running task, and all that it starts, work for that trace."""
    _headers.set(headers)
