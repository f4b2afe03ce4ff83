"""Weights into a model, exactly: nothing missing, nothing left over, nothing that is no number."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from laps_export.checkpoint.checkpoint import Checkpoint, WeightFile
from laps_export.checkpoint.complaints import raise_for, rest_of
from laps_export.errors import CheckpointError, ConfigError
from laps_export.families.family import ModelConfig, VideoModel

_FLOATS = {torch.float16, torch.bfloat16, torch.float32, torch.float64}
_INTEGERS = {torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64}


def load_weights(model: VideoModel, checkpoint: Checkpoint, *, keep_head: bool = False) -> None:
    """Copy a checkpoint into a model's network.

    Values are looked at only after names, shapes and types are known to be the model's.

    Args:
        model: its network receives the weights as float32.
        checkpoint: what was read.
        keep_head: accept a backbone and leave the model's own head as it is.

    Raises:
        CheckpointError: `no_head`, `class_count`, `missing_key`, `unexpected_key`, `wrong_shape`,
            `wrong_type`, `not_finite`.
        ConfigError: `variant_mismatch`, the file was written for another configuration.
    """
    wanted: dict[str, Tensor] = model.network.state_dict()
    state = dict(checkpoint.state)
    name, head, classes = checkpoint.path.name, model.family.names.head, model.config.classes
    if checkpoint.config is not None:
        _check_config(checkpoint.config, model.config, name)
    if not checkpoint.has_head and checkpoint.form is WeightFile.PRETRAINED:
        if not keep_head:
            raise _no_head(checkpoint, classes)
        state.update({key: wanted[key] for key in head})
    _check_class_count({key: state[key] for key in head if key in state}, classes, name)
    raise_for("missing_key", "lacks", [key for key in wanted if key not in state], file=name)
    raise_for("unexpected_key", "has the unexpected key", [key for key in state if key not in wanted], file=name)
    wrong = [
        f"{key} {list(state[key].shape)}, not {list(wanted[key].shape)}"
        for key in wanted
        if state[key].shape != wanted[key].shape
    ]
    raise_for("wrong_shape", "has a wrong shape:", wrong, file=name)
    mistyped = [
        f"{key} ({state[key].dtype}, not {wanted[key].dtype})"
        for key in wanted
        if state[key].dtype not in (_FLOATS if wanted[key].is_floating_point() else _INTEGERS)
    ]
    raise_for("wrong_type", "has a wrong type:", mistyped, file=name)
    state = {key: value.to(wanted[key].dtype) for key, value in state.items()}
    broken = [key for key, value in state.items() if not torch.isfinite(value).all()]
    raise_for("not_finite", "holds NaN or infinity in", broken, file=name)
    model.network.load_state_dict(state)


def _check_config(found: ModelConfig, wanted: ModelConfig, name: str) -> None:
    if found.classes != wanted.classes:
        raise _class_count(found.classes, wanted.classes, name)
    have, want = found.to_json(), wanted.to_json()
    different = [f"{key} {have.get(key)}, not {want[key]}" for key in want if have.get(key) != want[key]]
    if different:
        raise ConfigError(
            f"{name} was written for another model: {different[0]}{rest_of(different)}",
            code="variant_mismatch",
            hint="leave --variant out to take the file's own",
        )


def _check_class_count(head: Mapping[str, Tensor], classes: int, name: str) -> None:
    for value in head.values():
        if value.dim() and value.shape[0] != classes:
            raise _class_count(value.shape[0], classes, name)


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
