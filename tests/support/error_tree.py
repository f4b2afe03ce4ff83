"""The server's error tree as a list, for tests that hold something against all of it."""

from __future__ import annotations

from laps_server.errors import LapsError


def subclasses(root: type[LapsError]) -> list[type[LapsError]]:
    """Every class below ``root``, itself not among them."""
    return [kind for below in root.__subclasses__() for kind in (below, *subclasses(below))]


TREE: list[type[LapsError]] = [LapsError, *subclasses(LapsError)]
