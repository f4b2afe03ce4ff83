"""Log lines of the process: one format, with the request id on each."""

from __future__ import annotations

import logging

from laps_server.request_id import RequestIdFilter


def configure_logging(level: str) -> None:
    """Send every logger's lines to standard error."""
    handler = logging.StreamHandler()
    handler.addFilter(RequestIdFilter())
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s [%(request_id)s] %(name)s: %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
