"""The process's own streams: any of them may be closed, full, or a pipe whose reader has left."""

from __future__ import annotations

import os
import select
import sys
from typing import TextIO


def send_nowhere(stream: TextIO | None) -> None:
    """Let what is written from now on, and what the stream still holds, vanish: Python flushes it at its own end."""
    if stream is None:
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, stream.fileno())
    finally:
        os.close(nowhere)


def settle_messages() -> None:
    """Where nobody reads standard error any more, nobody misses what is written there, and no status depends on it."""
    if sys.stderr is not None and _is_unread(sys.stderr.fileno()):
        send_nowhere(sys.stderr)


def _is_unread(descriptor: int) -> bool:
    if not hasattr(select, "poll"):  # Windows
        return False
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(happened & select.POLLERR for _, happened in poll.poll(0))
