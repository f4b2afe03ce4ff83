"""How long work reports itself, so that a command line can show it and a library need not know how."""

from __future__ import annotations

from collections.abc import Callable

OnProgress = Callable[[str, int, int], None]
"""Called with what is being done, how much is done, and how much there is in all."""

OnShare = Callable[[str, float], None]
"""Called with what is being done and the share of the whole that is done."""


def ignore(_what: str, _done: int, _total: int) -> None:
    """Progress that nobody asked for."""
