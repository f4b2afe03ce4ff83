"""The process that workers are forked from: it has the decoder's libraries, and no thread, file or key.

A worker is there in milliseconds so, and shares what it never writes with all others. It runs as

    python -m laps_server.video.sandbox.zygote CHANNEL MEMORY_MIB LOG_LEVEL FILTERED MODULE:FUNCTION

and ends when the gateway closes its end of the channel, and with it every worker.
"""

from __future__ import annotations

import gc
import importlib
import logging
import os
import signal
import socket
import sys
from dataclasses import dataclass
from types import FrameType

from laps_server.logs import configure_logging
from laps_server.video.sandbox import wire
from laps_server.video.sandbox.confine import confine
from laps_server.video.sandbox.page import ProgressPage
from laps_server.video.sandbox.rehearsal import rehearse
from laps_server.video.sandbox.seccomp import FilterMissing, install_filter
from laps_server.video.sandbox.worker import Extract, serve

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Command:
    """What the gateway started it with."""

    channel: int
    memory_mib: int
    filtered: bool
    extract: Extract


def main(arguments: list[str]) -> None:
    """Say what the kernel allows, then fork a worker at every message."""
    channel, memory_mib, log_level, filtered, extract = arguments
    # The terminal's interrupt is the gateway's to answer.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    configure_logging(log_level)
    module, _, function = extract.partition(":")
    found: Extract = getattr(importlib.import_module(module), function)
    command = _Command(int(channel), int(memory_mib), filtered == "filtered", found)
    rehearse()
    gc.collect()
    gc.freeze()  # a worker's collections would write to what they look at: to pages that it shares until then
    why_no_filter = _why_no_filter() if command.filtered else "not wanted"
    signal.signal(signal.SIGCHLD, _reap)
    with socket.socket(fileno=command.channel) as gateway:
        wire.send(gateway, why_no_filter.encode() or b"filtered")
        while True:
            message, descriptors = wire.receive(gateway)
            if not message:
                return
            try:
                _fork(command, gateway, *descriptors)
            finally:
                wire.close_all(descriptors)


def _fork(command: _Command, gateway: socket.socket, channel: int, page: int) -> None:
    """Start a worker, and give the gateway a descriptor of its process."""
    own = os.getpid()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})  # so that it is not reaped before its descriptor is made
    try:
        process = os.fork()
        if process == 0:
            _become_worker(command, channel, page, parent=own)
        descriptor = os.pidfd_open(process)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
    try:
        wire.send(gateway, str(process).encode(), [descriptor])
    finally:
        os.close(descriptor)


def _become_worker(command: _Command, channel: int, page: int, *, parent: int) -> None:
    """Never returns."""
    status = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        progress = ProgressPage(page)
        own = socket.socket(fileno=channel)  # asks the kernel what it is, which no filter lets through
        confine(parent=parent, memory_mib=command.memory_mib, keep=[channel], filtered=command.filtered)
        serve(own, progress, command.extract)
        status = 0
    except BaseException as exc:  # nobody else would tell
        _LOG.error("a decoder ends", exc_info=exc)
    finally:
        os._exit(status)


def _why_no_filter() -> str:
    """Empty where the kernel filters system calls; tried in a process that ends at once."""
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            install_filter()
        except FilterMissing as exc:
            os.write(writing, str(exc).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        why = answer.read().decode()
    os.waitpid(process, 0)
    return why


def _reap(_: int, __: FrameType | None) -> None:
    while True:
        try:
            process, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if process == 0:
            return


if __name__ == "__main__":
    main(sys.argv[1:])
