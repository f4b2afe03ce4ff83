"""Weight files to a state that fits a model, or an error that names what does not.

    authors'      torch.save of a training run: weights with a prefix before every name, `epoch`, ...
    pretrained    torch.save of a backbone whose head belongs to other classes
    ours          safetensors with the model's configuration in its metadata

The first two may be safetensors of others too, which hold nothing but weights, and Caffe2's training code saved the
first without torch (`array_pickle`). They are read under the names that other training code gives them as well
(`own_names`), and a model that was trained whole may lie where backbones do: its names cannot tell, so whoever asks for
it with its head means that.

A file may be hostile without running code (`unpickle` sees to that), so nothing in it may claim more memory than the
file has bytes.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from laps_export.checkpoint.array_pickle import is_array_pickle, read_array_pickle
from laps_export.checkpoint.bounds import is_plain, kind_of
from laps_export.checkpoint.checkpoint import Checkpoint, WeightFile
from laps_export.checkpoint.complaints import PLAIN_TENSORS, raise_for
from laps_export.checkpoint.own_names import count_own, own_names
from laps_export.checkpoint.safetensors_file import OwnFile, read_safetensors
from laps_export.checkpoint.unpickle import WHAT_IS_READ, unpickle
from laps_export.errors import CheckpointError
from laps_export.families import registry
from laps_export.families.family import CheckpointNames, Family, WeightsKey

_MAX_EXACT_INT = 2**53  # beyond it JSON readers differ
_MAX_NAMED_KEYS = 5


def read_checkpoint(path: Path, *, family: Family | None = None) -> Checkpoint:
    """Read any of the three forms.

    Args:
        path: the file.
        family: whose weights a file of others is said to hold; None takes the family whose names it has most of.

    Raises:
        CheckpointError: `checkpoint_not_found`, `not_a_checkpoint`, `checkpoint_refused`,
            `unexpected_key`, `wrong_type` or `invalid_metadata`.
    """
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(8)
            safetensors = file.read(1) == b"{"  # eight bytes of length, then JSON
    except OSError as exc:
        raise CheckpointError(
            f"cannot read checkpoint {path}: {exc.strerror or exc}", code="checkpoint_not_found"
        ) from exc
    families = list(registry.FAMILIES.values()) if family is None else [family]
    if not safetensors:
        saved = read_array_pickle(path) if is_array_pickle(path) else unpickle(path)
        return _read_others(_find_weights(saved, families, path.name), path, sha256)
    read = read_safetensors(path)
    if isinstance(read, OwnFile):
        return _ours(read, path, sha256)
    return _read_others(_find_weights_alone(read, families, path.name), path, sha256)


def _ours(own: OwnFile, path: Path, sha256: str) -> Checkpoint:
    return Checkpoint(
        path=path,
        sha256=sha256,
        form=WeightFile.OURS,
        family=own.family,
        state=_tensors(own.state, path),
        epoch=_epoch(own.notes.get("epoch")),
        best_acc1=_best_acc1(own.notes.get("best_acc1"), path.name),
        variant=own.variant,
        config=own.config,
        notes=own.notes,
    )


@dataclass(frozen=True)
class _Found:
    """The saved dict; the family, its naming and the key that the weights in it are most likely of."""

    saved: Mapping[Any, Any]
    family: Family
    names: CheckpointNames
    where: WeightsKey

    @property
    def own(self) -> int:
        """How many names could be the family's."""
        return _count_own(_weights(self.saved, self.where), self.names)


def _read_others(found: _Found, path: Path, sha256: str) -> Checkpoint:
    saved, family, names, where = found.saved, found.family, found.names, found.where
    own = own_names(_tensors(_weights(saved, where), path), names, key=where.key, file=path.name)
    state, head = dict(own.state), {}
    if where.backbone:
        head = {name: state.pop(name) for name in own.state if name.startswith(family.names.head_prefix)}
    averaged = (f"read its {where.key}, the average of the weights",) if where.averaged else ()
    return Checkpoint(
        path=path,
        sha256=sha256,
        form=WeightFile.PRETRAINED if where.backbone else WeightFile.AUTHORS,
        family=family,
        key=where.key,
        state=state,
        head=head,
        dropped=(*head, *own.dropped),
        remarks=(*averaged, *own.remarks),
        epoch=_epoch(saved.get("epoch")),
        best_acc1=_best_acc1(saved.get("best_acc1"), path.name),
    )


def _find_weights(data: object, families: list[Family], file: str) -> _Found:
    """In what torch saved.

    Raises:
        CheckpointError: `not_a_checkpoint`.
    """
    saved = data if isinstance(data, Mapping) else {}
    found = [
        _Found(saved, family, names, where)
        for family, names in _namings(families)
        if (where := _first_key(saved, names)) is not None
    ]
    if not found:
        raise _no_weights(saved, families[0].names, file)
    return max(found, key=lambda one: one.own)


def _find_weights_alone(state: Mapping[str, Tensor], families: list[Family], file: str) -> _Found:
    """In a file that has tensors and no key above them.

    Raises:
        CheckpointError: `not_a_checkpoint`.
    """
    found = [_Found(state, family, names, WeightsKey("")) for family, names in _namings(families)]
    best = max(found, key=lambda one: one.own)
    if not best.own:
        some = ", ".join(repr(name) for name in list(state)[:_MAX_NAMED_KEYS])
        raise CheckpointError(
            f"{file} holds no weights of a known family, but {some or 'nothing'}",
            code="not_a_checkpoint",
            hint=WHAT_IS_READ,
        )
    return best


def _namings(families: list[Family]) -> Iterator[tuple[Family, CheckpointNames]]:
    return ((family, names) for family in families for names in (family.names, *family.layouts))


def _first_key(saved: Mapping[Any, Any], names: CheckpointNames) -> WeightsKey | None:
    return next((where for where in names.keys if _holds(saved, names, where)), None)


def _holds(saved: Mapping[Any, Any], names: CheckpointNames, where: WeightsKey) -> bool:
    # A dict without a key is weights where most of it could be: other files are dicts too.
    return where.key in saved if where.key else 2 * _count_own(saved, names) > len(saved)


def _weights(saved: Mapping[Any, Any], where: WeightsKey) -> Any:
    return saved[where.key] if where.key else saved


def _count_own(state: object, names: CheckpointNames) -> int:
    return count_own(state, names) if isinstance(state, Mapping) else 0


def _no_weights(saved: Mapping[Any, Any], names: CheckpointNames, file: str) -> CheckpointError:
    """Says which keys a file has instead, so that its owner sees where the weights are."""
    held = [key for key in saved if isinstance(key, str)]
    some = ", ".join(repr(key) for key in held[:_MAX_NAMED_KEYS])
    instead = f", but {some}{' and more' if len(held) > _MAX_NAMED_KEYS else ''}" if held else ""
    keys = [where.key for where in names.keys if where.key and not where.averaged]
    neither = " nor ".join(repr(key) for key in keys)
    return CheckpointError(
        f"{file} holds no weights: {'neither' if len(keys) > 1 else 'no'} {neither} is in it{instead}",
        code="not_a_checkpoint",
        hint=f"{WHAT_IS_READ}; a plain state_dict is wrapped with"
        f" torch.save({{{keys[0]!r}: {{{names.prefix!r} + k: v for k, v in state_dict.items()}}}}, file)",
    )


def _epoch(value: object) -> int | None:
    """The epoch, where it is one."""
    return value if isinstance(value, int) and abs(value) <= _MAX_EXACT_INT else None


def _best_acc1(value: object, name: str) -> float | None:
    """A percentage as a number or a tensor of one; None where the file says nothing that could be one."""
    if isinstance(value, Tensor) and is_plain(value) and value.numel() == 1:
        value = value.item()
    if isinstance(value, (int, float)):
        try:
            best = float(value)
        except OverflowError:
            best = math.inf
        if math.isfinite(best):
            return best
    elif not isinstance(value, Tensor):
        return None
    raise CheckpointError(
        f"best_acc1 of {name} is no finite number",
        code="invalid_metadata",
        hint="it is a percentage: remove it from the file, or save it as a number",
    )


def _tensors(state: object, path: Path) -> dict[str, Tensor]:
    """Names to tensors, as they are in the file; anything else in there is an error."""
    name = path.name
    if not isinstance(state, Mapping) or not state:
        raise CheckpointError(
            f"{name} holds no weights where they should be", code="not_a_checkpoint", hint=WHAT_IS_READ
        )
    wrong = [
        f"{key} ({kind_of(value)})"
        for key, value in state.items()
        if not isinstance(key, str) or not isinstance(value, Tensor) or not is_plain(value)
    ]
    raise_for("wrong_type", "holds something else than a tensor at", wrong, file=name)
    storages = {value.untyped_storage().data_ptr(): value.untyped_storage().nbytes() for value in state.values()}
    if sum(storages.values()) > path.stat().st_size:
        raise CheckpointError(f"{name} claims more bytes than it has", code="wrong_type", hint=PLAIN_TENSORS)
    return dict(state)
