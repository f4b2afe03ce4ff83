"""Names of another library to a network's own, by a table: what most of `CheckpointNames.translate` is made of."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from laps_export.errors import CheckpointError

Renames = Sequence[tuple[str, str]]
"""Regular expressions that match a whole name, and what it becomes, with `\\1` for its groups."""


def renamed(state: Mapping[str, Tensor], table: Renames) -> dict[str, Tensor]:
    """Each name by the first row that matches it, or as it is."""
    rows = [(re.compile(pattern), new) for pattern, new in table]
    return {_rename(name, rows): value for name, value in state.items()}


def stacked(state: Mapping[str, Tensor], table: Sequence[tuple[tuple[str, ...], str]]) -> dict[str, Tensor]:
    """Join parts of one weight along its first axis.

    Args:
        state: names to tensors.
        table: what the parts' names have in the middle, in order, and what stands there in the whole's name. A group of
            which the state lacks a part stays as it is.

    Raises:
        CheckpointError: `wrong_shape`, parts that do not fit each other.
    """
    result = dict(state)
    for parts, whole in table:
        for name in [name for name in result if parts[0] in name]:
            names = [name.replace(parts[0], part) for part in parts]
            if all(part in result for part in names):
                result[name.replace(parts[0], whole)] = _joined({part: result.pop(part) for part in names})
    return result


def _joined(parts: Mapping[str, Tensor]) -> Tensor:
    kinds = {(part.shape[1:], part.dtype) for part in parts.values()}
    if len(kinds) > 1 or not all(part.dim() for part in parts.values()):
        shapes = ", ".join(f"{name} {list(part.shape)} of {part.dtype}" for name, part in parts.items())
        raise CheckpointError(
            f"parts of one weight do not fit each other: {shapes}",
            code="wrong_shape",
            hint="they are joined along their first axis, and are alike in the others and in their type",
        )
    return torch.cat(list(parts.values()))


def translation(
    table: Renames, *, stack: Sequence[tuple[tuple[str, ...], str]] = ()
) -> Callable[[Mapping[str, Tensor]], dict[str, Tensor]]:
    """`renamed`, then `stacked`, as `CheckpointNames.translate` wants it."""
    return lambda state: stacked(renamed(state, table), stack)


def _rename(name: str, rows: Sequence[tuple[re.Pattern[str], str]]) -> str:
    for pattern, new in rows:
        if match := pattern.fullmatch(name):
            return match.expand(new)
    return name
