"""Names in a file to the model's own: training code wraps a model, and tools add to its state or leave out of it.

What a wrapper puts before every name is taken off, and what thop's counting left behind is left out, as is what the
network does not use. Names of another library are translated to the network's. One model in one wrapping is read, and
what was done is reported. Two, or a name outside the wrapping, are not: which is meant is for the file's owner to say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from laps_export.checkpoint.complaints import rest_of
from laps_export.errors import CheckpointError
from laps_export.families.family import CheckpointNames

_COUNTED = frozenset({"total_ops", "total_params"})  # thop registers them as buffers, of the whole and of its parts
_MEAN = ".running_mean"
_BATCHES = ".num_batches_tracked"


@dataclass(frozen=True, kw_only=True)
class OwnNames:
    """A state under the model's own names.

    Attributes:
        state: names to tensors.
        dropped: names of the file that are left out.
        remarks: what was done to names, each as the end of a sentence that begins with the file's name.
    """

    state: Mapping[str, Tensor]
    dropped: tuple[str, ...]
    remarks: tuple[str, ...]


def own_names(state: Mapping[str, Tensor], names: CheckpointNames, *, key: str, file: str) -> OwnNames:
    """Take wrappers' prefixes and counters off, and add the batch counters that a tidy tool took out.

    Args:
        state: as it is in the file.
        names: how files name the family's weights.
        key: under which the file has it.
        file: its name, for the error.

    Raises:
        CheckpointError: `unexpected_key`, a name without the prefix of the others.
    """
    remarks: list[str] = []
    counted = tuple(name for name in state if name.rpartition(".")[2] in _COUNTED)
    if counted:
        remarks.append(f"left out {len(counted)} of thop's counters (total_ops, total_params)")
    kept = {name: value for name, value in state.items() if name not in set(counted)}
    prefix = _prefix(kept, names)
    if foreign := [name for name in kept if not name.startswith(prefix)]:
        more = f" (and {len(foreign) - 1} more)" if len(foreign) > 1 else ""
        raise CheckpointError(
            f"{file} has, without the prefix {prefix!r} of most names, {foreign[0]}{more}",
            code="unexpected_key",
            hint=f"keep the names of one model: torch.save({{'state_dict': {{k: v for k, v in ckpt[{key!r}].items()"
            f" if k.startswith({prefix!r})}}}}, file)",
        )
    if prefix not in ("", names.prefix):
        remarks.append(f"took the prefix {prefix!r} off its names")
    own = {name.removeprefix(prefix): value for name, value in kept.items()}
    unused = tuple(name for name in own if names.unused is not None and names.unused.fullmatch(name))
    if unused:
        remarks.append(f"left out {unused[0]}{rest_of(unused)}, which the network does not use")
    own = {name: value for name, value in own.items() if name not in set(unused)}
    if names.translate is not None:
        own = names.translate(own)
    # Answers never depend on them, nor does training here: batch norms keep a moving average of fixed weight.
    batches = [name.removesuffix(_MEAN) + _BATCHES for name in own if name.endswith(_MEAN)]
    if lacking := [name for name in batches if name not in own]:
        remarks.append(f"set {len(lacking)} missing num_batches_tracked to 0, which changes no answer")
    own.update((name, torch.zeros((), dtype=torch.int64)) for name in lacking)
    return OwnNames(state=own, dropped=(*counted, *unused), remarks=tuple(remarks))


def count_own(state: Mapping[Any, object], names: CheckpointNames) -> int:
    """How many names of a file could be this family's."""
    return sum(isinstance(name, str) and names.own_part.search(name) is not None for name in state)


def _prefix(kept: Iterable[str], names: CheckpointNames) -> str:
    """What most names have before the model's own part."""
    found: Counter[str] = Counter()
    for name in kept:
        if names.prefix and name.startswith(names.prefix):
            found[names.prefix] += 1
        elif (own := names.own_part.search(name)) is not None:
            found[name[: own.start()]] += 1
    return max(found, key=found.__getitem__, default="")
