"""Networks with a part changed for a while, and without what comes before it.

A test that breaks a late part of a large network has to compute what lies behind that part, and nothing else: what
modules returned once is recorded, and stands in for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import nn

Changes = Mapping[str, object]
"""Dotted names of a network's modules, weights, buffers, methods and attributes, and what stands there instead."""


@contextmanager
def altered(network: nn.Module, changes: Changes) -> Iterator[None]:
    """The network with other parts, until the end of the block."""
    undone: list[tuple[nn.Module, str, object]] = []
    methods: list[tuple[nn.Module, str]] = []
    try:
        for name, value in changes.items():
            path, _, last = name.rpartition(".")
            owner = network.get_submodule(path)
            if hasattr(type(owner), last):
                methods.append((owner, last))
            else:
                undone.append((owner, last, getattr(owner, last)))
            setattr(owner, last, value)
        yield
    finally:
        for owner, last, value in reversed(undone):
            setattr(owner, last, value)
        for owner, last in methods:
            delattr(owner, last)


class Recorded(nn.Module):
    """Stands where another module was, and returns what that returned."""

    def __init__(self, output: object) -> None:
        super().__init__()
        self.output = output

    def forward(self, *_: object) -> object:
        return self.output


@contextmanager
def recording(network: nn.Module, module: str) -> Iterator[list[Any]]:
    """What a module returned meanwhile, pass by pass."""
    outputs: list[Any] = []
    handle = network.get_submodule(module).register_forward_hook(lambda _, __, output: outputs.append(output))
    try:
        yield outputs
    finally:
        handle.remove()


def replay(unneeded: Iterable[str], last: str, output: object) -> dict[str, object]:
    """Changes by which a network begins with what one of its modules returned.

    Args:
        unneeded: modules before it, which then return nothing.
        last: the module.
        output: what it returned.
    """
    return {**{name: Recorded(None) for name in unneeded}, last: Recorded(output)}
