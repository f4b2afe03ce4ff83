"""Standard output and error: each may be closed, full, or a pipe that nobody reads any more."""

from __future__ import annotations

import os
import select
import sys
from typing import TextIO


def send_nowhere(stream: TextIO | None) -> None:
    """Discard what the stream still holds and what is written later; Python would fail to flush it at exit."""
    if stream is None:
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, stream.fileno())
    finally:
        os.close(nowhere)


def settle_messages() -> None:
    """Discard messages from the start if nobody reads standard error, so that no exit status depends on it."""
    if sys.stderr is not None and _is_unread(sys.stderr.fileno()):
        send_nowhere(sys.stderr)


def _is_unread(descriptor: int) -> bool:
    if not hasattr(select, "poll"):  # Windows
        return False
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(happened & select.POLLERR for _, happened in poll.poll(0))
