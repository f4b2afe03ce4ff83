"""Weight files to a state that fits a model, or an error that names what does not.

    authors'      torch.save of a training run: `state_dict` with a prefix before every name, `epoch`, ...
    pretrained    torch.save with the key `model`: a backbone whose head belongs to other classes
    ours          safetensors with the model's configuration in its metadata

The first two are read under the names that other training code gives them as well (`naming`), and a model that
was trained whole may be under `model` too: its names cannot tell, so whoever asks for it with its head means that.

A file may be hostile without running code (`unpickle` sees to that), so nothing in it may claim more memory than the
file has bytes, and values are looked at only after names, shapes and types are known to be the model's.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from laps_export.checkpoint.bounds import is_plain, kind_of, read_object
from laps_export.checkpoint.own_names import own_names
from laps_export.checkpoint.unpickle import WHAT_IS_READ, not_a_checkpoint, unpickle
from laps_export.errors import CheckpointError, ConfigError
from laps_export.families.laps.config import LapsConfig
from laps_export.families.laps.visformer import Laps

HEAD_KEYS = ("head.weight", "head.bias")
FORMAT_NAME = "laps-export"
FORMAT_VERSION = "1"

_FLOATS = {torch.float16, torch.bfloat16, torch.float32, torch.float64}
_INTEGERS = {torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64}
_MAX_EXACT_INT = 2**53  # beyond it JSON readers differ

_KEYS = ("state_dict", "model", "state_dict_ema")  # under which weights are, the first that a file has
_MAX_NAMED_KEYS = 5

_HINTS = {
    "missing_key": "give the --variant that the file was trained as; a part of a checkpoint is no model",
    "plain": "a plain state_dict is wrapped with torch.save({'state_dict': {'module.base_model.' + k: v"
    " for k, v in state_dict.items()}}, file)",
    "unexpected_key": "give the --variant that the file was trained as, and a file of this family",
    "wrong_shape": "give the --variant that the file was trained as",
    "wrong_type": "weights are plain, dense tensors of floating-point numbers, as torch.save writes state_dict()",
    "not_finite": "training diverged, or the file is damaged: take an earlier checkpoint",
}


class Source(StrEnum):
    """Which of the three forms a file has."""

    AUTHORS = "authors"
    PRETRAINED = "pretrained"
    OURS = "laps-export"


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A weight file that was read, not yet compared with a model.

    Attributes:
        path: the file.
        sha256: its hash, for provenance.
        source: which form it has.
        state: unprefixed names to tensors; without a head if `source` is pretrained.
        head: what a pretrained file has as its head, which is no part of `state`.
        dropped: names that were in the file and are left out on purpose.
        remarks: what was done to its names, each as the end of a sentence that begins with the file's name.
        epoch: the training epoch, where the file says it.
        best_acc1: the best validation top-1 in percent, where the file says it.
        variant: the model's name, in our own form.
        config: the model's numbers, in our own form.
        notes: free-form provenance, in our own form.
    """

    path: Path
    sha256: str
    source: Source
    state: Mapping[str, Tensor]
    head: Mapping[str, Tensor] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    epoch: int | None = None
    best_acc1: float | None = None
    variant: str | None = None
    config: LapsConfig | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def has_head(self) -> bool:
        """False for a backbone."""
        return all(key in self.state for key in HEAD_KEYS)

    @property
    def own_classes(self) -> int | None:
        """Of the head in the file, be it part of `state` or not; None where it has none."""
        weight = {**self.state, **self.head}.get("head.weight")
        return weight.shape[0] if weight is not None and weight.dim() else None

    def with_own_head(self, *, classes: int | None) -> Checkpoint:
        """A pretrained file as a whole trained model, if its head has so many classes; any other as it is."""
        if self.source is not Source.PRETRAINED or classes is None or self.own_classes != classes:
            return self
        return replace(
            self,
            source=Source.AUTHORS,
            state={**self.state, **self.head},
            head={},
            dropped=tuple(key for key in self.dropped if key not in self.head),
            remarks=(*self.remarks, f"took what is under 'model' for a trained model with a head of {classes} classes"),
        )


def read_checkpoint(path: Path) -> Checkpoint:
    """Read any of the three forms.

    Raises:
        CheckpointError: `checkpoint_not_found`, `not_a_checkpoint`, `checkpoint_refused`,
            `unexpected_key`, `wrong_type` or `invalid_metadata`.
    """
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(8)
            ours = file.read(1) == b"{"  # safetensors: eight bytes of length, then JSON
    except OSError as exc:
        raise CheckpointError(
            f"cannot read checkpoint {path}: {exc.strerror or exc}", code="checkpoint_not_found"
        ) from exc
    return _read_safetensors(path, sha256) if ours else _read_torch(path, sha256)


def load_weights(model: Laps, checkpoint: Checkpoint, *, keep_head: bool = False) -> None:
    """Copy a checkpoint into a model, exactly: nothing missing, nothing left over.

    Args:
        model: receives the weights as float32.
        checkpoint: what was read.
        keep_head: accept a backbone and leave the model's own head as it is.

    Raises:
        CheckpointError: `no_head`, `class_count`, `missing_key`, `unexpected_key`, `wrong_shape`,
            `wrong_type`, `not_finite`.
        ConfigError: `variant_mismatch`, the file was written for another configuration.
    """
    wanted = model.state_dict()
    state = dict(checkpoint.state)
    name = checkpoint.path.name
    if checkpoint.config is not None:
        _check_config(checkpoint.config, model.config, name)
    if not checkpoint.has_head and checkpoint.source is Source.PRETRAINED:
        if not keep_head:
            raise _no_head(checkpoint, model.config.classes)
        state.update({key: wanted[key] for key in HEAD_KEYS})
    _check_class_count(state, model.config.classes, name)
    _report("missing_key", "lacks", [key for key in wanted if key not in state], name)
    _report("unexpected_key", "has the unexpected key", [key for key in state if key not in wanted], name)
    wrong = [
        f"{key} {list(state[key].shape)}, not {list(wanted[key].shape)}"
        for key in wanted
        if state[key].shape != wanted[key].shape
    ]
    _report("wrong_shape", "has a wrong shape:", wrong, name)
    mistyped = [
        f"{key} ({state[key].dtype}, not {wanted[key].dtype})"
        for key in wanted
        if state[key].dtype not in (_FLOATS if wanted[key].is_floating_point() else _INTEGERS)
    ]
    _report("wrong_type", "has a wrong type:", mistyped, name)
    state = {key: value.to(wanted[key].dtype) for key, value in state.items()}
    broken = [key for key, value in state.items() if not torch.isfinite(value).all()]
    _report("not_finite", "holds NaN or infinity in", broken, name)
    model.load_state_dict(state)


def save_checkpoint(path: Path, model: Laps, *, variant: str, notes: Mapping[str, Any] | None = None) -> None:
    """Write our own form: safetensors whose metadata carries variant, configuration and notes."""
    metadata = {
        "format": FORMAT_NAME,
        "format_version": FORMAT_VERSION,
        "variant": variant,
        "config": json.dumps(model.config.to_json()),
        "notes": json.dumps(dict(notes or {})),
    }
    state = {name: value.detach().contiguous().clone() for name, value in model.state_dict().items()}
    save_file(state, path, metadata=metadata)


def _read_torch(path: Path, sha256: str) -> Checkpoint:
    data = unpickle(path)
    key = next((key for key in _KEYS if key in data), None) if isinstance(data, Mapping) else None
    if not isinstance(data, Mapping) or key is None:
        raise CheckpointError(
            f"{path.name} holds no weights: neither 'state_dict' nor 'model' is in it{_held(data)}",
            code="not_a_checkpoint",
            hint=f"{WHAT_IS_READ}; {_HINTS['plain']}",
        )
    own = own_names(_tensors(data[key], path), key=key, file=path.name)
    state, head = dict(own.state), {}
    if key == "model":
        head = {name: state.pop(name) for name in own.state if name.startswith("head.")}
    averaged = ("read its state_dict_ema, the average of the weights",) if key == "state_dict_ema" else ()
    return Checkpoint(
        path=path,
        sha256=sha256,
        source=Source.PRETRAINED if key == "model" else Source.AUTHORS,
        state=state,
        head=head,
        dropped=(*head, *own.dropped),
        remarks=(*averaged, *own.remarks),
        epoch=_epoch(data.get("epoch")),
        best_acc1=_best_acc1(data.get("best_acc1"), path.name),
    )


def _held(data: object) -> str:
    """Which keys a file has instead, so that its owner sees where the weights are."""
    keys = [key for key in data if isinstance(key, str)] if isinstance(data, Mapping) else []
    some = ", ".join(repr(key) for key in keys[:_MAX_NAMED_KEYS])
    return f", but {some}{' and more' if len(keys) > _MAX_NAMED_KEYS else ''}" if keys else ""


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


def _read_safetensors(path: Path, sha256: str) -> Checkpoint:
    try:
        with safe_open(path, framework="pt") as file:
            metadata: dict[str, str] = file.metadata() or {}
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
    except Exception as exc:  # SafetensorError, and whatever torch says to a type it does not know
        raise not_a_checkpoint(path) from exc
    if metadata.get("format") != FORMAT_NAME or metadata.get("format_version") != FORMAT_VERSION:
        raise CheckpointError(
            f"{path.name} is safetensors without our configuration in its metadata",
            code="not_a_checkpoint",
            hint="`laps-export convert` writes such files",
        )
    try:
        config = LapsConfig.from_json(read_object(metadata["config"]))
        notes = read_object(metadata.get("notes", "{}"))
        variant = metadata["variant"]
        for what in ("metrics", "recipe"):
            if not isinstance(notes.get(what, {}), dict):
                raise TypeError(f"{what} in its notes is no JSON object")
    except (KeyError, ValueError, TypeError, ConfigError, RecursionError) as exc:
        raise CheckpointError(
            f"the metadata of {path.name} cannot be read: {exc}",
            code="not_a_checkpoint",
            hint="`laps-export convert` writes such files",
        ) from exc
    return Checkpoint(
        path=path,
        sha256=sha256,
        source=Source.OURS,
        state=_tensors(state, path),
        epoch=_epoch(notes.get("epoch")),
        best_acc1=_best_acc1(notes.get("best_acc1"), path.name),
        variant=variant,
        config=config,
        notes=notes,
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
    _report("wrong_type", "holds something else than a tensor at", wrong, name)
    storages = {value.untyped_storage().data_ptr(): value.untyped_storage().nbytes() for value in state.values()}
    if sum(storages.values()) > path.stat().st_size:
        raise CheckpointError(f"{name} claims more bytes than it has", code="wrong_type", hint=_HINTS["wrong_type"])
    return dict(state)


def _check_config(found: LapsConfig, wanted: LapsConfig, name: str) -> None:
    if found.classes != wanted.classes:
        raise _class_count(found.classes, wanted.classes, name)
    have, want = found.to_json(), wanted.to_json()
    different = [f"{key} {have[key]}, not {want[key]}" for key in want if have[key] != want[key]]
    if different:
        raise ConfigError(
            f"{name} was written for another model: {different[0]}{_rest(different)}",
            code="variant_mismatch",
            hint="leave --variant out to take the file's own",
        )


def _check_class_count(state: Mapping[str, Tensor], classes: int, name: str) -> None:
    for key in HEAD_KEYS:
        if key in state and state[key].dim() and state[key].shape[0] != classes:
            raise _class_count(state[key].shape[0], classes, name)


def _no_head(checkpoint: Checkpoint, classes: int) -> CheckpointError:
    name, found = checkpoint.path.name, checkpoint.own_classes
    if found is None:
        message = f"{name} is a backbone without a head"
        hint = "train it on your classes first; --random-weights beside it gives it a random head"
    else:
        message = f"the head in {name} has {found} classes, the label set {classes}"
        hint = (
            f"give a label set of {found} labels, in the order it was trained with, if it was trained whole;"
            " if it is a pretrained backbone, --random-weights beside it replaces its head by a random one"
        )
    return CheckpointError(message, code="no_head", hint=hint)


def _class_count(found: int, wanted: int, name: str) -> CheckpointError:
    return CheckpointError(
        f"the head of {name} has {found} classes, the label set {wanted}",
        code="class_count",
        hint=f"give a label set of {found} labels, in the order the model was trained with",
    )


def _report(code: str, what: str, offenders: list[str], name: str) -> None:
    """Raise if there are any offenders: the first by name, the rest by number."""
    if offenders:
        raise CheckpointError(f"{name} {what} {offenders[0]}{_rest(offenders)}", code=code, hint=_HINTS[code])


def _rest(items: list[str]) -> str:
    return f" (and {len(items) - 1} more)" if len(items) > 1 else ""
