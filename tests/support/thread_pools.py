"""Which pools of threads a test has left behind."""

from __future__ import annotations

import threading


def pools_since(before: set[threading.Thread]) -> set[str]:
    """Names of the pools with a thread that was not there before; asyncio's own lives for as long as its loop runs."""
    names = {thread.name.partition("_")[0] for thread in set(threading.enumerate()) - before}
    return names - {"asyncio"}
