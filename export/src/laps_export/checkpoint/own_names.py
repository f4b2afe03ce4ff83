"""Names in a file to the model's own: training code wraps a model, and tools add to its state or leave out of it.

    module.base_model.stem.0.weight       the authors' own
    model.stem.0.weight                   inside another module, as Lightning's
    _orig_mod.module.stem.0.weight        compiled, then made parallel
    module.base_model.total_ops           what thop's counting left behind

One model in one wrapping is read, and what was done is told. Two, or a name outside the wrapping, are not: which is
meant is for the file's owner to say.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from laps_export.errors import CheckpointError

AUTHORS_PREFIX = "module.base_model."

# Where the model's own part of a name begins: the first of these that is a whole word between dots.
_OWN_PART = re.compile(r"(?:^|(?<=\.))(?:stem|patch_embed[123]|pos_embed[123]|stage[123]|norm|head)(?=\.|$)")
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


def own_names(state: Mapping[str, Tensor], *, key: str, file: str) -> OwnNames:
    """Take wrappers' prefixes and counters off, and add the batch counters that a tidy tool took out.

    Args:
        state: as it is in the file.
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
    prefix = _prefix(kept)
    if foreign := [name for name in kept if not name.startswith(prefix)]:
        more = f" (and {len(foreign) - 1} more)" if len(foreign) > 1 else ""
        raise CheckpointError(
            f"{file} has, without the prefix {prefix!r} of most names, {foreign[0]}{more}",
            code="unexpected_key",
            hint=f"keep the names of one model: torch.save({{'state_dict': {{k: v for k, v in ckpt[{key!r}].items()"
            f" if k.startswith({prefix!r})}}}}, file)",
        )
    if prefix not in ("", AUTHORS_PREFIX):
        remarks.append(f"took the prefix {prefix!r} off its names")
    own = {name.removeprefix(prefix): value for name, value in kept.items()}
    # Answers never depend on them, nor does training here: batch norms keep a moving average of fixed weight.
    batches = [name.removesuffix(_MEAN) + _BATCHES for name in own if name.endswith(_MEAN)]
    if lacking := [name for name in batches if name not in own]:
        remarks.append(f"set {len(lacking)} missing num_batches_tracked to 0, which changes no answer")
    own.update((name, torch.zeros((), dtype=torch.int64)) for name in lacking)
    return OwnNames(state=own, dropped=counted, remarks=tuple(remarks))


def _prefix(names: Iterable[str]) -> str:
    """What most names have before the model's own part."""
    found: Counter[str] = Counter()
    for name in names:
        if name.startswith(AUTHORS_PREFIX):
            found[AUTHORS_PREFIX] += 1
        elif (own := _OWN_PART.search(name)) is not None:
            found[name[: own.start()]] += 1
    return max(found, key=found.__getitem__, default="")
