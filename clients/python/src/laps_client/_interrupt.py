"""Ends blocking requests from another thread: a thread that waits on a socket wakes when the socket is shut down.

httpx names the sockets that a request opens through its ``trace`` extension. Therefore each of these requests opens a
connection of its own and closes it afterwards.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from weakref import WeakSet

_OPENED = (".connect_tcp.complete", ".start_tls.complete")


class Interrupted(Exception):
    """Raised in the requests that were ended; never leaves the package."""


class Interrupt:
    """Ends all requests that it is attached to."""

    def __init__(self) -> None:
        self._fired = threading.Event()
        self._lock = threading.Lock()
        self._sockets: WeakSet[socket.socket] = WeakSet()

    def attach(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The arguments of httpx's ``build_request`` for a request that can be ended."""
        headers = {**arguments["headers"], "Connection": "close"}
        extensions = {**arguments["extensions"], "trace": self._note}
        return {**arguments, "headers": headers, "extensions": extensions}

    def fire(self) -> None:
        """End the requests, also those that begin later."""
        self._fired.set()
        with self._lock:
            for opened in self._sockets:
                _shut_down(opened)

    def check(self) -> None:
        """Go on only while it has not fired.

        Raises:
            Interrupted: it has.
        """
        if self._fired.is_set():
            raise Interrupted

    def sleep(self, seconds: float) -> None:
        """Wait, but no longer than until it fires.

        Raises:
            Interrupted: it did.
        """
        self._fired.wait(seconds)
        self.check()

    def _note(self, event: str, info: Mapping[str, Any]) -> None:
        if not event.endswith(_OPENED):
            return
        opened = info["return_value"].get_extra_info("socket")
        with self._lock:
            self._sockets.add(opened)
            if self._fired.is_set():
                _shut_down(opened)


def _shut_down(opened: socket.socket) -> None:
    with suppress(OSError):  # closed already
        opened.shutdown(socket.SHUT_RDWR)
