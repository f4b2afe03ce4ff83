"""A replica's own port: the whole app beside Ray's proxy, over our own HTTP, without anything in between.

Here an upload is written to disk as it arrives, a refusal costs next to nothing, and metrics are this replica's.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import uvicorn

from laps_server.errors import BadParameter
from laps_server.serve import BACKLOG, http_config

_PORTS = 500  # more than replicas of one machine


class OwnPort:
    """One HTTP server in this process's event loop, until it is closed."""

    def __init__(self, app: Callable[..., Any], listening: socket.socket) -> None:
        self._server = uvicorn.Server(http_config(app, lifespan="off"))  # Ray begins and ends the app
        self._listening = listening
        self._serving: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._listening.getsockname()[1]
        return port

    @property
    def is_serving(self) -> bool:
        """Whether it has begun and not ended."""
        return self._serving is not None and not self._serving.done()

    def start(self) -> None:
        """Answer from now on."""
        self._serving = asyncio.create_task(self._server.serve(sockets=[self._listening]), name="own port")

    async def close(self) -> None:
        """Close the port and, soon after, every connection."""
        self._server.should_exit = True
        if self._serving is not None:
            await asyncio.gather(self._serving, return_exceptions=True)
        self._listening.close()


def listen_from(host: str, first: int) -> socket.socket:
    """Take the first free port from ``first`` on: replicas of one machine share an address.

    Raises:
        BadParameter: none is free.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in range(first, min(first + _PORTS, 2**16)):
        try:
            return socket.create_server((host, port), family=family, backlog=BACKLOG)
        except OSError as exc:
            failure = exc
    raise BadParameter(
        f"no port of {host} from {first} on is free: {failure.strerror}",
        hint="choose others with LAPS_RAY_REPLICA_PORT",
    ) from failure
