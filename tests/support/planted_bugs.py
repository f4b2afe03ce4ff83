"""Decoders with a bug each, to be run in a worker in place of the real one."""

from __future__ import annotations

import ctypes
import os
import resource
import socket
import subprocess
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from laps_server.errors import VideoCorrupt
from laps_server.part import Part
from laps_server.video.extract import extract_parts

_FOR_EVER = bool(1)  # not to be seen through by who looks for code that is never reached
FLAG = "PLANTED_FLAG"
"""In the environment: a file that is there once the first crash has been."""


def segfault(*_: Any, **__: Any) -> Generator[Part, None, None]:
    """Read address 0."""
    ctypes.string_at(0)
    yield from ()


def segfault_once(file: int, options: Any, **others: Any) -> Generator[Part, None, None]:
    """Crash behind the first Part, and only the first time."""
    steps = extract_parts(file, options, **others)
    yield next(steps)
    flag = Path(os.environ[FLAG])
    if not flag.exists():
        flag.touch()
        ctypes.string_at(0)
    yield from steps


def begins_again(file: int, options: Any, **others: Any) -> Generator[Part, None, None]:
    """Go on behind the Part that ends the video, with its first one."""
    for _ in range(2):
        yield from extract_parts(file, options, **others)


def stuck(*_: Any, **__: Any) -> Generator[Part, None, None]:
    """Compute for ever, without a step forward."""
    while _FOR_EVER:
        pass
    yield from ()


def stuck_if_it_has_one_view(file: int, options: Any, **others: Any) -> Generator[Part, None, None]:
    """As above, but for videos of several clips, which are decoded."""
    if options.grid.temporal == 1:
        yield from stuck()
    yield from extract_parts(file, options, **others)


def deaf(*_: Any, should_stop: Callable[[], bool], **__: Any) -> Generator[Part, None, None]:
    """Get on for ever, whatever it is told."""
    while _FOR_EVER:
        should_stop()
        time.sleep(0.001)
    yield from ()


def eat_memory(*_: Any, **__: Any) -> Generator[Part, None, None]:
    """Take all the memory there is."""
    eaten = []
    while _FOR_EVER:
        eaten.append(bytearray(16 * 1024 * 1024))
    yield from ()


def _if_short(bug: Callable[..., Generator[Part, None, None]]) -> Callable[..., Generator[Part, None, None]]:
    """The bug for files of less than 100 bytes, others are decoded."""

    def extract(file: int, options: Any, **others: Any) -> Generator[Part, None, None]:
        yield from (bug if os.fstat(file).st_size < 100 else extract_parts)(file, options, **others)

    return extract


segfault_if_short = _if_short(segfault)
stuck_if_short = _if_short(stuck)
deaf_if_short = _if_short(deaf)
eat_memory_if_short = _if_short(eat_memory)


def _lift_limits() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


FORBIDDEN: Mapping[str, Callable[[], object]] = {
    "open a file": lambda: Path("/etc/passwd").read_bytes(),
    "write a file": lambda: Path("/tmp/planted").write_bytes(b""),
    "look at a folder": lambda: os.listdir("/"),  # noqa: PTH208
    "ask for a file's size": lambda: os.stat("/etc/passwd"),  # noqa: PTH116
    "make a socket": socket.socket,
    "make a pair of sockets": socket.socketpair,
    "run a program": lambda: os.execv("/bin/true", ["true"]),
    "start a program": lambda: subprocess.run(["/bin/true"], check=False),
    "start a process": os.fork,
    "signal its parent": lambda: os.kill(os.getppid(), 0),
    "make a pipe": os.pipe,
    "change its limits": _lift_limits,
    "see other processes": lambda: os.readlink("/proc/self/exe"),  # noqa: PTH115
}
WANTED = "PLANTED_WANTED"
"""In the environment: which of them is tried."""


def try_what_is_forbidden(*_: Any, **__: Any) -> Generator[Part, None, None]:
    """Tell whether it was let through."""
    told = "let through"
    try:
        FORBIDDEN[os.environ[WANTED]]()
    except (OSError, ValueError):  # the latter where limits cannot be set
        told = "refused"
    if _FOR_EVER:
        raise VideoCorrupt(told)
    yield from ()


def talk_nonsense(*_: Any, **__: Any) -> Generator[Part, None, None]:
    """Write to the gateway what is no answer."""
    for descriptor in range(3, 64):
        with suppress(OSError):
            os.write(descriptor, b"part 99999999")
    yield from ()


talk_nonsense_if_short = _if_short(talk_nonsense)


def talk_at_length(*_: Any, **__: Any) -> Generator[Part, None, None]:
    """Write more than a message holds."""
    for descriptor in range(3, 64):
        with suppress(OSError):
            os.write(descriptor, bytes(100_000))
    yield from ()


def end_quietly(*_: Any, **__: Any) -> Generator[Part, None, None]:
    """Leave as if nothing were wrong."""
    if _FOR_EVER:
        os._exit(0)
    yield from ()
