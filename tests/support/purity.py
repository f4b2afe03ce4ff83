"""Holds pure tests to what they are: no process, no network, no torch, and little of the processor."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.markers import TOOLS

PROCESSOR_S = 6.0
"""Of one pure test, its threads included: time that passes on a busy machine does not count."""

_EVENTS = {
    "subprocess.Popen": "starts a process",
    "os.fork": "starts a process",
    "os.posix_spawn": "starts a process",
    "os.system": "starts a process",
    "socket.bind": "binds a socket",
    "socket.connect": "connects a socket",
    "socket.getaddrinfo": "looks up an address",
}


class _Watch:
    """The interpreter's audit hook, which stays for good once it is there; ``broken`` is None between pure tests."""

    def __init__(self) -> None:
        self.broken: list[str] | None = None
        self._installed = False

    def install(self) -> None:
        if not self._installed:
            self._installed = True
            sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.broken is None or event not in _EVENTS:
            return
        # An address that is a path stays on this machine, as asyncio's own sockets do.
        if event in ("socket.bind", "socket.connect") and isinstance(arguments[1], str | bytes):
            return
        if event == "subprocess.Popen" and Path(os.fsdecode(arguments[0])).name in TOOLS:  # type: ignore[arg-type]
            return
        self.broken.append(_EVENTS[event])
        raise NotPure(_EVENTS[event])


_WATCH = _Watch()


class NotPure(AssertionError):
    """A test without a marker did what only marked ones may; see docs/testing.md."""

    def __init__(self, what: str) -> None:
        super().__init__(f"a pure test {what}: mark it, or teach tests/support/markers.py to")


@contextmanager
def kept_pure() -> Iterator[None]:
    """Fail what runs inside where it is not pure, even if it swallows the exception."""
    _WATCH.install()
    had_torch = "torch" in sys.modules
    broken: list[str] = []
    around, _WATCH.broken = _WATCH.broken, broken
    began = time.process_time()
    try:
        yield
    finally:
        _WATCH.broken = around
    if broken:
        raise NotPure(broken[0])
    if "torch" in sys.modules and not had_torch:
        raise NotPure("imports torch")
    if (taken := time.process_time() - began) > PROCESSOR_S:
        raise NotPure(f"takes {taken:.1f} s of the processor where {PROCESSOR_S:.0f} s are allowed")
